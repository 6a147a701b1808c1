#include "ca/authn/pod_rights.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/authn/watch_verdict.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

absl::Status Gone(absl::string_view what) {
  return absl::PermissionDeniedError(absl::StrCat("its right came from ", what));
}

}  // namespace

PodRights::PodRights(std::vector<AccountName> trusted_node_accounts, std::shared_ptr<const KnownPods> pods,
                     const Clock& clock)
    : trusted_node_accounts_(std::move(trusted_node_accounts)), pods_(std::move(pods)), clock_(clock) {}

absl::Status PodRights::NotThere(absl::string_view what, absl::Time issued_at) const {
  const absl::Duration age = pods_->Age();
  if (age <= kWatchAgeMax && clock_.Now() - age > issued_at)
    return Gone(absl::StrCat(what, ", which is not there any more"));
  return WithReason(absl::UnavailableError(absl::StrCat("its right came from ", what,
                                                        ", of which nothing is known, for the cluster's API server was "
                                                        "not heard of lately, or not since then; retry with backoff")),
                    "PODS_UNKNOWN");
}

absl::Status PodRights::CheckPodOrigin(const PodOrigin& origin, absl::Time issued_at) const {
  if (pods_->IsGone(origin.account_uid)) {
    return Gone(absl::StrCat("service account ", origin.account_uid, ", which was deleted"));
  }
  const AccountName account{origin.namespace_name, origin.account};
  if (origin.pod_uid.empty()) return CheckAccount(account, origin.account_uid, issued_at);
  const std::string named = absl::StrCat("pod ", origin.pod_uid);
  if (pods_->IsGone(origin.pod_uid)) return Gone(absl::StrCat(named, ", which was deleted"));
  const std::optional<KnownPod> pod = pods_->FindPod(origin.pod_uid);
  if (!pod.has_value()) return NotThere(named, issued_at);
  const absl::Time now = clock_.Now();
  if (!Lives(*pod, now)) {
    return Gone(absl::StrCat(named, " (", pod->account.namespace_name, "/", pod->name, "), which has ended"));
  }
  MESHCA_RETURN_IF_ERROR(CheckAccount(pod->account, origin.account_uid, issued_at));
  return pod->account == account ? absl::OkStatus() : CheckOnBehalf(origin, *pod, now, issued_at);
}

absl::Status PodRights::CheckAccount(const AccountName& account, const std::string& uid, absl::Time issued_at) const {
  if (pods_->AccountUid(account) == uid) return absl::OkStatus();
  return NotThere(absl::StrCat("service account ", account.Text(), " of uid ", uid), issued_at);
}

absl::Status PodRights::CheckOnBehalf(const PodOrigin& origin, const KnownPod& proxy, absl::Time now,
                                      absl::Time issued_at) const {
  const AccountName account{origin.namespace_name, origin.account};
  const std::string named = absl::StrCat("pod ", proxy.account.namespace_name, "/", proxy.name);
  if (std::find(trusted_node_accounts_.begin(), trusted_node_accounts_.end(), proxy.account) ==
      trusted_node_accounts_.end()) {
    return Gone(absl::StrCat(named, ", whose service account is not among kubernetes.trusted_node_accounts"));
  }
  const std::vector<AccountName> there = pods_->AccountsOn(proxy.node, now);
  if (std::find(there.begin(), there.end(), account) != there.end()) return absl::OkStatus();
  return NotThere(absl::StrCat(named, " on behalf of a pod of ", account.Text(), " on node ", proxy.node), issued_at);
}

}  // namespace meshca
