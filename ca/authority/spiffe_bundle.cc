#include "ca/authority/spiffe_bundle.h"

#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ca/base/status.h"
#include "ca/jwt/jwt_key.h"

namespace meshca {
namespace {

absl::StatusOr<std::string> X509Key(const Certificate& root) {
  MESHCA_ASSIGN_OR_RETURN(const std::string members, JwkMembers(root.public_key()));
  return absl::StrCat(R"({"use":"x509-svid",)", members, R"(,"x5c":[")", absl::Base64Escape(root.der().bytes()),
                      R"("]})");
}

}  // namespace

absl::StatusOr<std::string> SpiffeBundleJson(const TrustBundle& bundle, absl::Duration refresh_hint) {
  std::vector<std::string> keys;
  for (const Certificate& root : bundle.roots) {
    MESHCA_ASSIGN_OR_RETURN(keys.emplace_back(), X509Key(root));
  }
  for (const JwtKey& key : bundle.jwt_keys) {
    MESHCA_ASSIGN_OR_RETURN(keys.emplace_back(), JwtSvidJwk(key));
  }
  return absl::StrCat(R"({"keys":[)", absl::StrJoin(keys, ","), R"(],"spiffe_sequence":)", bundle.sequence_number,
                      R"(,"spiffe_refresh_hint":)", absl::ToInt64Seconds(refresh_hint), "}");
}

}  // namespace meshca
