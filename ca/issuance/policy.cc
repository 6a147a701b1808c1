#include "ca/issuance/policy.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ca/base/status.h"

namespace meshca {

bool PolicyDecision::AllowsKey(KeyType type) const {
  return key_types.empty() || std::find(key_types.begin(), key_types.end(), type) != key_types.end();
}

absl::StatusOr<Policy> Policy::Create(std::vector<PolicyRule> rules) {
  for (size_t i = 0; i < rules.size(); ++i) {
    absl::string_view fault;
    if (!absl::StartsWith(rules[i].spiffe_id_glob, "spiffe://") && !absl::StartsWith(rules[i].spiffe_id_glob, "*")) {
      fault = "spiffe_id fits no SPIFFE ID; begin with spiffe:// or with *";
    } else if (rules[i].lifetime_max < absl::ZeroDuration()) {
      fault = "lifetime_max is negative";
    }
    if (fault.empty()) continue;
    return WithReason(absl::InvalidArgumentError(absl::StrCat("policy[", i, "]: ", fault)), "POLICY_INVALID");
  }
  Policy policy;
  policy.rules_ = std::move(rules);
  return policy;
}

PolicyDecision Policy::Decide(const CallerIdentity& caller, const SpiffeId& id) const {
  PolicyDecision decision;
  decision.lifetime_max = caller.LifetimeMax(id);
  for (const PolicyRule& rule : rules_) {
    if (!id.MatchesGlob(rule.spiffe_id_glob)) continue;
    if (rule.lifetime_max > absl::ZeroDuration()) {
      decision.lifetime_max = decision.lifetime_max > absl::ZeroDuration()
                                  ? std::min(decision.lifetime_max, rule.lifetime_max)
                                  : rule.lifetime_max;
    }
    decision.key_types = rule.key_types;
    decision.dns_names = rule.dns_names;
    decision.issuances_per_minute = rule.issuances_per_minute;
    break;
  }
  return decision;
}

}  // namespace meshca
