// Plans which issuing authority is to be renewed and which authority has ended. For replacing a root see
// root_rotation.h.
#ifndef MESHCA_CA_AUTHORITY_RENEWAL_PLAN_H_
#define MESHCA_CA_AUTHORITY_RENEWAL_PLAN_H_

#include <span>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "ca/authority/signing_authority.h"
#include "ca/x509/validity.h"

namespace meshca {

// The lifetimes that the plan goes by. CheckAuthorityOptions ensures issuing_lifetime >= 2 * leaf_lifetime_max > 0.
struct RenewalPolicy {
  absl::Duration issuing_lifetime;
  absl::Duration leaf_lifetime_max;

  // An issuing authority with less life left than this is replaced: the longest leaf that it may still sign, and an
  // eighth of its own life in case something goes wrong. Always below issuing_lifetime, so a fresh one is never due.
  absl::Duration RenewBelow() const { return leaf_lifetime_max + issuing_lifetime / 8; }
};

struct RenewalStep {
  enum class Kind {
    kMakeIssuing,  // make an issuing authority under root `authority_id` and activate it; the present one becomes old
    kRetire,       // retire `authority_id`: it has expired, so nothing that it signed is alive
  };
  Kind kind = Kind::kMakeIssuing;
  std::string authority_id;
  std::string why;  // for the audit log
};

struct RenewalPlan {
  std::vector<RenewalStep> steps;  // to be taken in this order; empty: nothing is due
  // The active issuing authority, while it is valid at `now`; "" otherwise, and then `why_not_signing` says why.
  std::string issuing_id;
  std::string why_not_signing;
  // For the operator, who alone can mend it: authorities that end soon and that meshca cannot renew.
  std::vector<std::string> warnings;
  // When something is due or ends next, if the steps are done. At most an hour away.
  absl::Time next_wakeup;
};

// Whether an authority has so little life left at `now` that the operator should look at it. For a root, which only a
// rotation replaces: less than a tenth. For an issuing authority, which is renewed long before: less than a fifth.
bool EndsSoon(AuthorityRole role, const Validity& validity, absl::Time now);

// Pure: no clock, no I/O. `authorities` holds every known authority in any order; at most one of each role is active. A
// root whose key_reference is not "" can sign new issuing authorities.
RenewalPlan PlanRenewal(absl::Time now, std::span<const SigningAuthority> authorities, const RenewalPolicy& policy);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_RENEWAL_PLAN_H_
