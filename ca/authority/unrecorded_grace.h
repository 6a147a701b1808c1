// The rules of UnrecordedGrace (authority_snapshot.h), the time in which certificates that this CA has no record of may
// be renewed: how it is stored, and when it ends.
#ifndef MESHCA_CA_AUTHORITY_UNRECORDED_GRACE_H_
#define MESHCA_CA_AUTHORITY_UNRECORDED_GRACE_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/authority/authority_snapshot.h"
#include "ca/authority/signing_authority.h"

namespace meshca {

// All functions are pure. GraceKeeper keeps the grace as a setting.

// Conversion to one line of text and back, in whole seconds. nullopt: the text is not such a line.
std::string UnrecordedGraceToText(const UnrecordedGrace& grace);
std::optional<UnrecordedGrace> UnrecordedGraceFromText(absl::string_view text);

// One grace in place of two: it lists the authorities of both, and ends at the later of their ends.
UnrecordedGrace JoinGraces(const UnrecordedGrace& a, const UnrecordedGrace& b);

// The ids of the issuing authorities that may have signed certificates whose records were lost: all that are neither
// retired nor tainted.
std::vector<std::string> AuthoritiesBeforeRestore(const std::vector<SigningAuthority>& authorities);

// What is left of `grace`; nullopt: it has ended. `newest` is the newest time that ClockGuard believed, not the wall
// clock: it never goes back, so a grace that has ended does not begin again. An authority is left out if it is tainted,
// under a tainted root, retired, or not among `authorities` any more.
std::optional<UnrecordedGrace> RemainingGrace(const UnrecordedGrace& grace,
                                              const std::vector<SigningAuthority>& authorities, absl::Time newest);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_UNRECORDED_GRACE_H_
