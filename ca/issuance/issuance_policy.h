// The policy as the pipeline applies it: rules swapped in place, a rate for each caller.
#ifndef MESHCA_CA_ISSUANCE_ISSUANCE_POLICY_H_
#define MESHCA_CA_ISSUANCE_ISSUANCE_POLICY_H_

#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "ca/base/clock.h"
#include "ca/base/mutex.h"
#include "ca/issuance/caller_rate_limiter.h"
#include "ca/issuance/issuance_request.h"
#include "ca/issuance/policy.h"
#include "ca/issuance/request_policy.h"

namespace meshca {

// Thread-safe; computes only.
class IssuancePolicy final : public RequestPolicy {
 public:
  // `clock` outlives the policy.
  IssuancePolicy(Policy policy, const Clock& clock);

  // A reload: requests judged from now on.
  void Replace(Policy policy);

  bool AllowsDnsName(const CallerIdentity& caller, const SpiffeId& id, absl::string_view name) const override;
  absl::Status Apply(IssuanceRequest& request) override;

 private:
  std::shared_ptr<const Policy> Current() const;

  const Clock& clock_;
  CallerRateLimiter limiter_;
  mutable Mutex mutex_;
  std::shared_ptr<const Policy> policy_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace meshca

#endif  // MESHCA_CA_ISSUANCE_ISSUANCE_POLICY_H_
