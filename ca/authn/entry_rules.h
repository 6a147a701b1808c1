// What a registration entry may say, and whether it can fit anybody.
#ifndef MESHCA_CA_AUTHN_ENTRY_RULES_H_
#define MESHCA_CA_AUTHN_ENTRY_RULES_H_

#include <string>

#include "absl/status/status.h"
#include "ca/identity/entry_store.h"
#include "ca/spiffe/trust_domain.h"

namespace meshca {

// Judges what an operator wrote into `entry`, and brings it into its one form: selectors as NormaliseSelectors has
// them, DNS names in lower case, as requests are compared. An entry without an id gets one made from what it says, so
// that a file without ids may be applied again and again. InvalidArgument names the field: SPIFFE_ID_TRUST_DOMAIN (no
// workload's ID of `trust_domain`), SELECTOR_INVALID, SELECTOR_NOBODY, DNS_NAME_INVALID, ENTRY_ID.
absl::Status CompleteEntry(const TrustDomain& trust_domain, RegistrationEntry& entry);

// The selector by which an entry of the store fits nobody, and why; "" where it fits somebody. Older versions let in
// what CompleteEntry refuses.
std::string WhyFitsNobody(const RegistrationEntry& entry);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHN_ENTRY_RULES_H_
