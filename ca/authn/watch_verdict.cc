#include "ca/authn/watch_verdict.h"

#include <optional>
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

WatchVerdict Doubt(Kind kind, std::string why) {
  WatchVerdict verdict;
  verdict.kind = kind;
  verdict.doubt = std::move(why);
  return verdict;
}

// What is wrong for good with a token of this pod, which the watch knows; its kind is kRefused then.
std::optional<WatchVerdict> RefusalByPod(const ServiceAccountClaims& claims, const PodView& pod, absl::Time now) {
  // The API server makes no such token; somebody who has its key, or a restored cluster, may.
  if (pod.name != claims.pod || pod.namespace_name != claims.account.namespace_name ||
      pod.account != claims.account.account) {
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
  std::optional<WatchVerdict> refused;
  std::string node;
  const auto judge = [&](const PodView& pod) {
    refused = RefusalByPod(claims, pod, now);
    node = std::string(pod.node);
  };
  const bool is_there = claims.IsBoundToPod() && pods.LookAt(claims.pod_uid, judge);
  if (refused.has_value()) return *std::move(refused);
  if (!claims.IsBoundToPod()) return Doubt(Kind::kInDoubt, "the token is bound to no pod");
  const absl::Duration age = pods.Age();
  if (age == absl::InfiniteDuration()) {
    return Doubt(Kind::kNotKnownYet, "the cluster's pods have not been listed yet");
  }
  if (age > kWatchAgeMax) {
    return Doubt(Kind::kInDoubt,
                 absl::StrCat("nothing was heard of the cluster's pods for ", absl::FormatDuration(age)));
  }
  if (!is_there) return Doubt(Kind::kNotKnownYet, "its pod is not known yet");
  if (!pods.IsAccountUid(claims.account, claims.account_uid)) {
    return Doubt(Kind::kNotKnownYet, "its service account is not known yet");
  }
  WatchVerdict verdict;
  verdict.kind = Kind::kLives;
  verdict.node = std::move(node);
  return verdict;
}

}  // namespace meshca
