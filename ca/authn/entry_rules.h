// What a registration entry may say, and whether it can fit anybody.
#ifndef MESHCA_CA_AUTHN_ENTRY_RULES_H_
#define MESHCA_CA_AUTHN_ENTRY_RULES_H_

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ca/identity/entry_store.h"
#include "ca/spiffe/trust_domain.h"

namespace meshca {

inline constexpr size_t kEntryNodesMax = 100;
inline constexpr size_t kEntryHintBytesMax = 255;
// What relies on a token cannot take it back before it ends.
inline constexpr absl::Duration kJwtTtlMax = absl::Minutes(5);

// Judges what an operator wrote into `entry`, and brings it into its one form: selectors as NormaliseSelectors has
// them, node patterns sorted and once each, DNS names in lower case, as requests are compared. An entry without an id
// gets one made from what it says, so that a file without ids may be applied again and again. InvalidArgument names the
// field: SPIFFE_ID_TRUST_DOMAIN (no workload's ID of `trust_domain`), SPIFFE_ID_INVALID (an agent's: it joins by a
// token), SELECTOR_INVALID, SELECTOR_NOBODY, DNS_NAME_INVALID, ENTRY_ID, NODE_GLOB, ENTRY_NODES (more than
// kEntryNodesMax), ENTRY_HINT, JWT_TTL.
absl::Status CompleteEntry(const TrustDomain& trust_domain, RegistrationEntry& entry);

// The selector by which an entry of the store fits nobody, and why; "" where it fits somebody. Older versions let in
// what CompleteEntry refuses.
std::string WhyFitsNobody(const RegistrationEntry& entry);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHN_ENTRY_RULES_H_
