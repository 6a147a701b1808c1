#include "ca/authn/service_account_claims.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/identity/object_name.h"

namespace meshca {
namespace {

constexpr size_t kUidBytesMax = 128;

absl::Status Malformed(absl::string_view claim, absl::string_view fault) {
  return WithReason(absl::UnauthenticatedError(absl::StrCat(
                        "service account token: claim kubernetes.io", claim, " ", fault,
                        "; send one of a projected volume, or of `kubectl create token --bound-object-kind Pod`")),
                    "SERVICE_ACCOUNT_CLAIMS");
}

absl::Status BoundElsewhere(absl::string_view to) {
  return WithReason(absl::UnauthenticatedError(absl::StrCat("service account token: it is bound to ", to,
                                                            ", and what it gave would outlive that; send one of a "
                                                            "pod's projected volume, or one that is bound to nothing")),
                    "TOKEN_BOUND_ELSEWHERE");
}

// No blank: the uids stand in the origin of a right, with blanks between.
bool IsUid(absl::string_view text) {
  return !text.empty() && text.size() <= kUidBytesMax &&
         std::all_of(text.begin(), text.end(), [](char c) { return absl::ascii_isgraph(c); });
}

// The `name` and `uid` of a part of the claim.
absl::Status ReadReference(const JsonValue& part, absl::string_view claim, std::string& name, std::string& uid) {
  name = std::string(part.FindText("name"));
  uid = std::string(part.FindText("uid"));
  if (!IsObjectName(name))
    return Malformed(absl::StrCat(claim, ".name"), "is missing or no name that Kubernetes gives");
  if (!IsUid(uid)) return Malformed(absl::StrCat(claim, ".uid"), "is missing or no uid");
  return absl::OkStatus();
}

}  // namespace

std::string ServiceAccountClaims::Username() const {
  return absl::StrCat("system:serviceaccount:", account.namespace_name, ":", account.account);
}

absl::StatusOr<ServiceAccountClaims> ReadServiceAccountClaims(const Jwt& token) {
  const JsonValue* const claim = token.claims().Find("kubernetes.io");
  if (claim == nullptr || !claim->is_object()) return Malformed("", "is missing");
  ServiceAccountClaims claims;
  claims.issuer = std::string(token.issuer());
  claims.account.namespace_name = std::string(claim->FindText("namespace"));
  if (!IsNamespaceName(claims.account.namespace_name)) {
    return Malformed(".namespace", "is missing or no name that Kubernetes gives");
  }
  const JsonValue* const account = claim->Find("serviceaccount");
  if (account == nullptr) return Malformed(".serviceaccount", "is missing");
  MESHCA_RETURN_IF_ERROR(ReadReference(*account, ".serviceaccount", claims.account.account, claims.account_uid));
  if (const JsonValue* const pod = claim->Find("pod"); pod != nullptr) {
    MESHCA_RETURN_IF_ERROR(ReadReference(*pod, ".pod", claims.pod, claims.pod_uid));
  }
  if (const JsonValue* const node = claim->Find("node"); node != nullptr) {
    claims.node = std::string(node->FindText("name"));
    if (!IsObjectName(claims.node)) return Malformed(".node.name", "is missing or no name that Kubernetes gives");
  }
  if (claim->Find("secret") != nullptr) return BoundElsewhere("a Secret");
  if (claim->Find("node") != nullptr && !claims.IsBoundToPod()) return BoundElsewhere("a node and no pod");
  if (token.subject() != absl::string_view(claims.Username())) {
    return Malformed(".serviceaccount", absl::StrCat("is not the token's subject, which would be ", claims.Username()));
  }
  return claims;
}

}  // namespace meshca
