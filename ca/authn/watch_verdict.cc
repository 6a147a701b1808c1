#include "ca/authn/watch_verdict.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

using Kind = WatchVerdict::Kind;

std::string Named(const ServiceAccountClaims& claims) {
  return absl::StrCat("service account token of ", claims.account.Text(),
                      claims.IsBoundToPod() ? absl::StrCat(", pod ", claims.pod) : std::string());
}

WatchVerdict Refused(const ServiceAccountClaims& claims, absl::string_view reason, absl::string_view sentence) {
  WatchVerdict verdict;
  verdict.kind = Kind::kRefused;
  verdict.refusal = WithReason(absl::UnauthenticatedError(absl::StrCat(Named(claims), ": ", sentence)), reason);
  return verdict;
}

WatchVerdict Doubt(Kind kind, std::string why, std::optional<KnownPod> pod = std::nullopt) {
  WatchVerdict verdict;
  verdict.kind = kind;
  verdict.doubt = std::move(why);
  verdict.pod = std::move(pod);
  return verdict;
}

// What is wrong for good with a token of this pod, which the watch knows; its kind is kRefused then.
std::optional<WatchVerdict> RefusalByPod(const ServiceAccountClaims& claims, const KnownPod& pod, absl::Time now) {
  // The API server makes no such token; somebody who has its key, or a restored cluster, may.
  if (pod.name != claims.pod || pod.account != claims.account) {
    return Refused(claims, "POD_MISMATCH", "the pod of that uid has another name or service account");
  }
  if (!pod.node.empty() && !claims.node.empty() && pod.node != claims.node) {
    return Refused(claims, "POD_MISMATCH", absl::StrCat("the pod is not on node ", claims.node));
  }
  if (!Lives(pod, now)) {
    return Refused(claims, "POD_GONE",
                   pod.ended ? "the pod has ended (its phase is Succeeded or Failed), so none of its processes can ask"
                             : "the pod was deleted, and the time it was given is over");
  }
  return std::nullopt;
}

}  // namespace

WatchVerdict JudgeByWatch(const ServiceAccountClaims& claims, const KnownPods& pods, absl::Time now) {
  // What is gone does not come back, so this holds however old the watch is.
  if (pods.IsGone(claims.account_uid)) {
    return Refused(claims, "SERVICE_ACCOUNT_GONE",
                   "the service account was deleted; pods of a new one of that name have tokens of their own");
  }
  if (claims.IsBoundToPod() && pods.IsGone(claims.pod_uid)) {
    return Refused(claims, "POD_GONE", "the pod was deleted; one of the same name has a token of its own");
  }
  std::optional<KnownPod> pod;
  if (claims.IsBoundToPod()) pod = pods.FindPod(claims.pod_uid);
  if (pod.has_value()) {
    if (std::optional<WatchVerdict> refused = RefusalByPod(claims, *pod, now); refused.has_value()) return *refused;
  }
  if (!claims.IsBoundToPod()) return Doubt(Kind::kInDoubt, "the token is bound to no pod");
  const absl::Duration age = pods.Age();
  if (age == absl::InfiniteDuration()) {
    return Doubt(Kind::kNotKnownYet, "the cluster's pods have not been listed yet", std::move(pod));
  }
  if (age > kWatchAgeMax) {
    return Doubt(Kind::kInDoubt,
                 absl::StrCat("nothing was heard of the cluster's pods for ", absl::FormatDuration(age)),
                 std::move(pod));
  }
  if (!pod.has_value()) return Doubt(Kind::kNotKnownYet, "its pod is not known yet");
  if (pods.AccountUid(claims.account) != claims.account_uid) {
    return Doubt(Kind::kNotKnownYet, "its service account is not known yet", std::move(pod));
  }
  WatchVerdict verdict;
  verdict.kind = Kind::kLives;
  verdict.pod = std::move(pod);
  return verdict;
}

}  // namespace meshca
