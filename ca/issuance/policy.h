// What an identity's certificates may be, beyond who may have it.
#ifndef MESHCA_CA_ISSUANCE_POLICY_H_
#define MESHCA_CA_ISSUANCE_POLICY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/identity/caller_identity.h"
#include "ca/spiffe/spiffe_id.h"
#include "ca/x509/public_key.h"

namespace meshca {

struct PolicyRule {
  std::string spiffe_id_glob;          // `*` any run of bytes, `?` any one; over the whole ID
  absl::Duration lifetime_max;         // zero: no cap beyond the profile's
  std::vector<KeyType> key_types;      // empty: the profile's
  std::vector<std::string> dns_names;  // lower-case, beside the caller's own; `*` alone stands for any
  uint32_t issuances_per_minute = 0;   // of one caller; 0: no limit
};

// What the pipeline holds a request to, beside profile and caller.
struct PolicyDecision {
  absl::Duration lifetime_max;     // zero: none; already the shorter of the rule's and the caller's own
  std::vector<KeyType> key_types;  // empty: any
  std::vector<std::string> dns_names;
  uint32_t issuances_per_minute = 0;

  bool AllowsKey(KeyType type) const;
};

// The first rule whose glob fits the ID decides; none: nothing is narrowed. Immutable, thread-safe, pure.
class Policy {
 public:
  Policy() = default;
  // InvalidArgument (reason POLICY_INVALID) names the rule, from 0: a glob that is empty or no `spiffe://`, a negative
  // lifetime.
  static absl::StatusOr<Policy> Create(std::vector<PolicyRule> rules);

  PolicyDecision Decide(const CallerIdentity& caller, const SpiffeId& id) const;

  const std::vector<PolicyRule>& rules() const { return rules_; }

 private:
  std::vector<PolicyRule> rules_;
};

}  // namespace meshca

#endif  // MESHCA_CA_ISSUANCE_POLICY_H_
