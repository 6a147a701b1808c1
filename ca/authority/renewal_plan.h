// Which authority is due for renewal or has ended. Replacing a root is another matter: root_rotation.h.
#ifndef MESHCA_CA_AUTHORITY_RENEWAL_PLAN_H_
#define MESHCA_CA_AUTHORITY_RENEWAL_PLAN_H_

#include <span>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "ca/authority/signing_authority.h"
#include "ca/x509/validity.h"

namespace meshca {

// Lifetimes the plan keeps to. issuing_lifetime >= 2 * leaf_lifetime_max > 0: CheckAuthorityOptions sees to it.
struct RenewalPolicy {
  absl::Duration issuing_lifetime;
  absl::Duration leaf_lifetime_max;

  // An issuing authority with less than this left is replaced: the longest leaf it may still sign, and an eighth of its
  // own life for things to go wrong in. Always below issuing_lifetime, so a fresh one is never due.
  absl::Duration RenewBelow() const { return leaf_lifetime_max + issuing_lifetime / 8; }
};

struct RenewalStep {
  enum class Kind {
    kMakeIssuing,  // make an issuing authority under root `authority_id`, let it sign, let the present one grow old
    kRetire,       // `authority_id` has expired: nothing it signed is alive
  };
  Kind kind = Kind::kMakeIssuing;
  std::string authority_id;
  std::string why;  // for the audit log
};

struct RenewalPlan {
  std::vector<RenewalStep> steps;  // in order; empty: all is well
  // The active issuing authority, while it is valid at `now`; "" otherwise, and then `why_not_signing` says why.
  std::string issuing_id;
  std::string why_not_signing;
  // What only the operator can mend: an authority that ends and that meshca cannot renew.
  std::vector<std::string> warnings;
  // When something is next due or ends, provided the steps are done. At most an hour away.
  absl::Time next_wakeup;
};

// Has an authority so little of its life left at `now` that somebody should look at it? A root, which only a rotation
// replaces: less than a tenth. An issuing authority, which renews itself long before: less than a fifth.
bool EndsSoon(AuthorityRole role, const Validity& validity, absl::Time now);

// Pure: no clock, no I/O. `authorities` are every one known, in any order; at most one of each role is active. A root
// meshca can sign with has a key_reference.
RenewalPlan PlanRenewal(absl::Time now, std::span<const SigningAuthority> authorities, const RenewalPolicy& policy);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_RENEWAL_PLAN_H_
