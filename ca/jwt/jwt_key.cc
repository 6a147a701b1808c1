#include "ca/jwt/jwt_key.h"

#include <openssl/core_names.h>

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ca/base/openssl_ptr.h"
#include "ca/base/status.h"
#include "ca/x509/digest.h"

namespace meshca {
namespace {

// A number of the key as base64url, padded on the left to `bytes` (RFC 7518 §6.2.1.2), or at its own length for 0.
absl::StatusOr<std::string> KeyNumber(const PublicKey& key, const char* name, int bytes) {
  BIGNUM* raw = nullptr;
  if (EVP_PKEY_get_bn_param(key.evp(), name, &raw) != 1) return OpenSslError("EVP_PKEY_get_bn_param");
  const BignumPtr number(raw);
  std::string octets(bytes == 0 ? BN_num_bytes(number.get()) : bytes, '\0');
  if (BN_bn2binpad(number.get(), reinterpret_cast<unsigned char*>(octets.data()), static_cast<int>(octets.size())) <
      0) {
    return OpenSslError("BN_bn2binpad");
  }
  return absl::WebSafeBase64Escape(octets);
}

absl::StatusOr<std::string> EllipticCurveMembers(const PublicKey& key, absl::string_view curve, int bytes) {
  MESHCA_ASSIGN_OR_RETURN(const std::string x, KeyNumber(key, OSSL_PKEY_PARAM_EC_PUB_X, bytes));
  MESHCA_ASSIGN_OR_RETURN(const std::string y, KeyNumber(key, OSSL_PKEY_PARAM_EC_PUB_Y, bytes));
  return absl::StrCat(R"("crv":")", curve, R"(","kty":"EC","x":")", x, R"(","y":")", y, "\"");
}

absl::StatusOr<std::string> Ed25519Members(const PublicKey& key) {
  std::string raw(32, '\0');
  size_t size = raw.size();
  if (EVP_PKEY_get_raw_public_key(key.evp(), reinterpret_cast<unsigned char*>(raw.data()), &size) != 1) {
    return OpenSslError("EVP_PKEY_get_raw_public_key");
  }
  return absl::StrCat(R"("crv":"Ed25519","kty":"OKP","x":")", absl::WebSafeBase64Escape(raw), "\"");
}

absl::StatusOr<std::string> RsaMembers(const PublicKey& key) {
  MESHCA_ASSIGN_OR_RETURN(const std::string n, KeyNumber(key, OSSL_PKEY_PARAM_RSA_N, 0));
  MESHCA_ASSIGN_OR_RETURN(const std::string e, KeyNumber(key, OSSL_PKEY_PARAM_RSA_E, 0));
  return absl::StrCat(R"("e":")", e, R"(","kty":"RSA","n":")", n, "\"");
}

}  // namespace

absl::StatusOr<std::string> JwkMembers(const PublicKey& key) {
  switch (key.type()) {
    case KeyType::kEcP256: return EllipticCurveMembers(key, "P-256", 32);
    case KeyType::kEcP384: return EllipticCurveMembers(key, "P-384", 48);
    case KeyType::kEcP521: return EllipticCurveMembers(key, "P-521", 66);
    case KeyType::kEd25519: return Ed25519Members(key);
    default: return RsaMembers(key);
  }
}

absl::StatusOr<std::string> JwkThumbprint(const PublicKey& key) {
  MESHCA_ASSIGN_OR_RETURN(const std::string members, JwkMembers(key));
  return absl::WebSafeBase64Escape(Sha256(absl::StrCat("{", members, "}")));
}

absl::StatusOr<std::string> JwtSvidJwk(const JwtKey& key) {
  // A kid needs no escapes in JSON, because it is of our own making.
  const bool plain = std::all_of(key.key_id.begin(), key.key_id.end(),
                                 [](char c) { return absl::ascii_isalnum(c) || c == '-' || c == '_'; });
  if (key.key_id.empty() || !plain) {
    return absl::InternalError(
        absl::StrCat("JWT key \"", absl::Utf8SafeCHexEscape(key.key_id), "\": its kid is no base64url text"));
  }
  MESHCA_ASSIGN_OR_RETURN(const std::string members, JwkMembers(key.key));
  return absl::StrCat(R"({"use":"jwt-svid","kid":")", key.key_id, R"(",)", members, "}");
}

absl::StatusOr<std::string> JwtSvidJwks(std::span<const JwtKey> keys) {
  std::vector<std::string> jwks;
  for (const JwtKey& key : keys) {
    MESHCA_ASSIGN_OR_RETURN(jwks.emplace_back(), JwtSvidJwk(key));
  }
  return absl::StrCat(R"({"keys":[)", absl::StrJoin(jwks, ","), "]}");
}

}  // namespace meshca
