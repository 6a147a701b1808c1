#include "ca/issuance/issuance_policy.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ca/base/status.h"

namespace meshca {

IssuancePolicy::IssuancePolicy(Policy policy, const Clock& clock)
    : clock_(clock), policy_(std::make_shared<const Policy>(std::move(policy))) {}

void IssuancePolicy::Replace(Policy policy) {
  auto next = std::make_shared<const Policy>(std::move(policy));
  MutexLock lock(mutex_);
  policy_ = std::move(next);
}

std::shared_ptr<const Policy> IssuancePolicy::Current() const {
  MutexLock lock(mutex_);
  return policy_;
}

bool IssuancePolicy::AllowsDnsName(const CallerIdentity& caller, const SpiffeId& id, absl::string_view name) const {
  const std::shared_ptr<const Policy> policy = Current();
  if (policy->rules().empty()) return false;
  const std::vector<std::string> allowed = policy->Decide(caller, id).dns_names;
  return std::any_of(allowed.begin(), allowed.end(),
                     [name](const std::string& one) { return one == "*" || absl::string_view(one) == name; });
}

absl::Status IssuancePolicy::Apply(IssuanceRequest& request) {
  const std::shared_ptr<const Policy> policy = Current();
  if (policy->rules().empty()) return absl::OkStatus();
  const PolicyDecision decision = policy->Decide(request.caller, request.spiffe_id);
  if (!decision.AllowsKey(request.public_key.type())) {
    const auto name = [](std::string* out, KeyType type) { absl::StrAppend(out, KeyTypeName(type)); };
    return WithReason(absl::InvalidArgumentError(absl::StrCat(
                          "key type ", KeyTypeName(request.public_key.type()), " is not allowed for ",
                          request.spiffe_id.uri(), "; allowed: ", absl::StrJoin(decision.key_types, ", ", name))),
                      "KEY_TYPE");
  }
  request.lifetime_max = decision.lifetime_max;
  if (decision.issuances_per_minute == 0) return absl::OkStatus();
  return limiter_.Admit(absl::StrCat(request.caller.subject, "\n", request.spiffe_id.uri()),
                        decision.issuances_per_minute, clock_.Now());
}

}  // namespace meshca
