#include "ca/pod_certificates/proof_of_possession.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "ca/base/openssl_ptr.h"

namespace meshca {

absl::Status CheckProofOfPossession(const PublicKey& key, absl::string_view pod_uid, absl::string_view proof) {
  const EvpMdCtxPtr context(EVP_MD_CTX_new());
  if (context == nullptr) return OpenSslError("EVP_MD_CTX_new");
  const bool is_ed25519 = key.type() == KeyType::kEd25519;
  EVP_PKEY_CTX* of_key = nullptr;  // belongs to `context`
  if (EVP_DigestVerifyInit(context.get(), &of_key, is_ed25519 ? nullptr : EVP_sha256(), nullptr, key.evp()) != 1) {
    return OpenSslError("EVP_DigestVerifyInit");
  }
  if (EVP_PKEY_get_base_id(key.evp()) == EVP_PKEY_RSA &&
      (EVP_PKEY_CTX_set_rsa_padding(of_key, RSA_PKCS1_PSS_PADDING) != 1 ||
       EVP_PKEY_CTX_set_rsa_pss_saltlen(of_key, RSA_PSS_SALTLEN_AUTO) != 1)) {
    return OpenSslError("EVP_PKEY_CTX_set_rsa_padding");
  }
  const bool good =
      EVP_DigestVerify(context.get(), OpenSslBytes(proof), proof.size(), OpenSslBytes(pod_uid), pod_uid.size()) == 1;
  ERR_clear_error();
  if (good) return absl::OkStatus();
  return absl::InvalidArgumentError("proofOfPossession is no signature of pkixPublicKey over the pod's uid");
}

}  // namespace meshca
