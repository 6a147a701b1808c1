// The operator's rules, for requests whose certificates live for an hour at least.
#ifndef MESHCA_CA_POD_CERTIFICATES_POD_REQUEST_POLICY_H_
#define MESHCA_CA_POD_CERTIFICATES_POD_REQUEST_POLICY_H_

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ca/issuance/issuance_request.h"
#include "ca/issuance/request_policy.h"

namespace meshca {

// Thread-safe.
class PodRequestPolicy final : public RequestPolicy {
 public:
  // `rules` outlive it; null: there are none. `lifetime_min` is that of the pods' profile.
  PodRequestPolicy(RequestPolicy* rules, absl::Duration lifetime_min) : rules_(rules), lifetime_min_(lifetime_min) {}

  bool AllowsDnsName(const CallerIdentity& caller, const SpiffeId& id, absl::string_view name) const override;
  // InvalidArgument (LIFETIME) where a rule lets certificates of the ID live for less than the API server takes; and
  // whatever the rules say.
  absl::Status Apply(IssuanceRequest& request) override;

 private:
  RequestPolicy* const rules_;
  const absl::Duration lifetime_min_;
};

}  // namespace meshca

#endif  // MESHCA_CA_POD_CERTIFICATES_POD_REQUEST_POLICY_H_
