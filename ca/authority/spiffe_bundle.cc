#include "ca/authority/spiffe_bundle.h"

#include <openssl/core_names.h>

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ca/base/openssl_ptr.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

// A number of the key as base64url, padded on the left to `bytes` (RFC 7518 §6.2.1.2), or at its own length for 0.
absl::StatusOr<std::string> Number(const PublicKey& key, const char* name, int bytes) {
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

absl::StatusOr<std::string> EllipticCurve(const PublicKey& key, absl::string_view curve, int bytes) {
  MESHCA_ASSIGN_OR_RETURN(const std::string x, Number(key, OSSL_PKEY_PARAM_EC_PUB_X, bytes));
  MESHCA_ASSIGN_OR_RETURN(const std::string y, Number(key, OSSL_PKEY_PARAM_EC_PUB_Y, bytes));
  return absl::StrCat(R"("kty":"EC","crv":")", curve, R"(","x":")", x, R"(","y":")", y, "\"");
}

absl::StatusOr<std::string> Ed25519(const PublicKey& key) {
  std::string raw(32, '\0');
  size_t size = raw.size();
  if (EVP_PKEY_get_raw_public_key(key.evp(), reinterpret_cast<unsigned char*>(raw.data()), &size) != 1) {
    return OpenSslError("EVP_PKEY_get_raw_public_key");
  }
  return absl::StrCat(R"("kty":"OKP","crv":"Ed25519","x":")", absl::WebSafeBase64Escape(raw), "\"");
}

absl::StatusOr<std::string> Rsa(const PublicKey& key) {
  MESHCA_ASSIGN_OR_RETURN(const std::string n, Number(key, OSSL_PKEY_PARAM_RSA_N, 0));
  MESHCA_ASSIGN_OR_RETURN(const std::string e, Number(key, OSSL_PKEY_PARAM_RSA_E, 0));
  return absl::StrCat(R"("kty":"RSA","n":")", n, R"(","e":")", e, "\"");
}

absl::StatusOr<std::string> KeyMembers(const PublicKey& key) {
  switch (key.type()) {
    case KeyType::kEcP256: return EllipticCurve(key, "P-256", 32);
    case KeyType::kEcP384: return EllipticCurve(key, "P-384", 48);
    case KeyType::kEcP521: return EllipticCurve(key, "P-521", 66);
    case KeyType::kEd25519: return Ed25519(key);
    default: return Rsa(key);
  }
}

absl::StatusOr<std::string> X509Key(const Certificate& root) {
  MESHCA_ASSIGN_OR_RETURN(const std::string members, KeyMembers(root.public_key()));
  return absl::StrCat(R"({"use":"x509-svid",)", members, R"(,"x5c":[")", absl::Base64Escape(root.der().bytes()),
                      R"("]})");
}

// The kid needs no escapes in JSON, because it is of our own making.
absl::StatusOr<std::string> JwtKey(const JwtAuthority& authority) {
  const bool plain = std::all_of(authority.kid.begin(), authority.kid.end(),
                                 [](char c) { return absl::ascii_isalnum(c) || c == '-' || c == '_'; });
  if (authority.kid.empty() || !plain) {
    return absl::InternalError(absl::StrCat("JWT authority \"", authority.kid, "\": its kid is no base64url text"));
  }
  MESHCA_ASSIGN_OR_RETURN(const std::string members, KeyMembers(authority.key));
  return absl::StrCat(R"({"use":"jwt-svid","kid":")", authority.kid, R"(",)", members, "}");
}

}  // namespace

absl::StatusOr<std::string> SpiffeBundleJson(const TrustBundle& bundle, absl::Duration refresh_hint) {
  std::vector<std::string> keys;
  for (const Certificate& root : bundle.roots) {
    MESHCA_ASSIGN_OR_RETURN(keys.emplace_back(), X509Key(root));
  }
  for (const JwtAuthority& authority : bundle.jwt_authorities) {
    MESHCA_ASSIGN_OR_RETURN(keys.emplace_back(), JwtKey(authority));
  }
  return absl::StrCat(R"({"keys":[)", absl::StrJoin(keys, ","), R"(],"spiffe_sequence":)", bundle.sequence_number,
                      R"(,"spiffe_refresh_hint":)", absl::ToInt64Seconds(refresh_hint), "}");
}

}  // namespace meshca
