#include "ca/x509/rsa_verify.h"

#include <openssl/rsa.h>

#include "ca/base/openssl_ptr.h"

namespace meshca {
namespace {

bool IsRsa(KeyType type) { return type == KeyType::kRsa2048 || type == KeyType::kRsa3072 || type == KeyType::kRsa4096; }

// Null: OpenSSL will not verify by `algorithm` with this key.
EvpPkeyCtxPtr Prepare(EVP_PKEY* key, const SignatureAlgorithm& algorithm) {
  EvpPkeyCtxPtr context(EVP_PKEY_CTX_new_from_pkey(nullptr, key, nullptr));
  const bool pss = algorithm.scheme == SignatureScheme::kRsaPss;
  if (context == nullptr || EVP_PKEY_verify_init(context.get()) != 1 ||
      EVP_PKEY_CTX_set_rsa_padding(context.get(), pss ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING) != 1 ||
      EVP_PKEY_CTX_set_signature_md(context.get(), HashAlgorithm(algorithm.hash)) != 1 ||
      (pss && EVP_PKEY_CTX_set_rsa_pss_saltlen(context.get(), RSA_PSS_SALTLEN_DIGEST) != 1)) {
    return nullptr;
  }
  return context;
}

}  // namespace

bool VerifyRsaDigest(const PublicKey& key, const SignatureAlgorithm& algorithm, const HashValue& digest,
                     absl::string_view signature) {
  const bool fits = algorithm.scheme == SignatureScheme::kRsaPkcs1 || algorithm.scheme == SignatureScheme::kRsaPss;
  if (!fits || !IsRsa(key.type())) return false;
  const EvpPkeyCtxPtr context = Prepare(key.evp(), algorithm);
  if (context != nullptr && EVP_PKEY_verify(context.get(), OpenSslBytes(signature), signature.size(),
                                            digest.bytes.data(), digest.size) == 1) {
    return true;
  }
  OpenSslError("EVP_PKEY_verify").IgnoreError();
  return false;
}

}  // namespace meshca
