#include "ca/x509/rsa_verify.h"

#include <array>
#include <cstddef>
#include <utility>

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

// Contexts that are ready to verify, of the keys that a thread verified by last. To make one, which looks the key's
// algorithms up by name, costs a fourth of what RSA's arithmetic does for a key of 2048 bits, and a CA sees few keys: a
// cluster's API server has one or two. A key that has gone stays here until others push it out.
class PreparedContexts {
 public:
  static PreparedContexts& OfThread() {
    static thread_local PreparedContexts contexts;
    return contexts;
  }

  // Null: OpenSSL will not. This object's, until the next call.
  EVP_PKEY_CTX* Get(EVP_PKEY* key, const SignatureAlgorithm& algorithm) {
    for (const Entry& each : entries_) {
      // A context holds its key, so no other key has that address.
      if (each.context != nullptr && EVP_PKEY_CTX_get0_pkey(each.context.get()) == key &&
          each.algorithm.scheme == algorithm.scheme && each.algorithm.hash == algorithm.hash) {
        return each.context.get();
      }
    }
    EvpPkeyCtxPtr made = Prepare(key, algorithm);
    if (made == nullptr) return nullptr;
    Entry& place = entries_[next_];
    next_ = (next_ + 1) % entries_.size();
    place = {std::move(made), algorithm};
    return place.context.get();
  }

 private:
  struct Entry {
    EvpPkeyCtxPtr context;
    SignatureAlgorithm algorithm;
  };
  std::array<Entry, 4> entries_ = {};
  size_t next_ = 0;
};

}  // namespace

bool VerifyRsaDigest(const PublicKey& key, const SignatureAlgorithm& algorithm, const HashValue& digest,
                     absl::string_view signature) {
  const bool fits = algorithm.scheme == SignatureScheme::kRsaPkcs1 || algorithm.scheme == SignatureScheme::kRsaPss;
  if (!fits || !IsRsa(key.type())) return false;
  EVP_PKEY_CTX* const context = PreparedContexts::OfThread().Get(key.evp(), algorithm);
  if (context != nullptr &&
      EVP_PKEY_verify(context, OpenSslBytes(signature), signature.size(), digest.bytes.data(), digest.size) == 1) {
    return true;
  }
  OpenSslError("EVP_PKEY_verify").IgnoreError();
  return false;
}

}  // namespace meshca
