#include "ca/pod_certificates/pod_request_policy.h"

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"

namespace meshca {

bool PodRequestPolicy::AllowsDnsName(const CallerIdentity& caller, const SpiffeId& id, absl::string_view name) const {
  return rules_ != nullptr && rules_->AllowsDnsName(caller, id, name);
}

absl::Status PodRequestPolicy::Apply(IssuanceRequest& request) {
  if (rules_ != nullptr) MESHCA_RETURN_IF_ERROR(rules_->Apply(request));
  const absl::Duration longest = request.lifetime_max;
  if (longest == absl::ZeroDuration() || longest >= lifetime_min_) return absl::OkStatus();
  return WithReason(
      absl::InvalidArgumentError(absl::StrCat("lifetime: the rules of this CA let certificates of ",
                                              request.spiffe_id.uri(), " live for ", absl::FormatDuration(longest),
                                              ", and Kubernetes takes none that lives for less than an hour: raise "
                                              "lifetime_max of the rule in `policy`, or give this pod no "
                                              "podCertificate volume")),
      "LIFETIME");
}

}  // namespace meshca
