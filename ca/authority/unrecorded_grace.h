// For how long certificates that this CA has no record of may still renew: how that is kept, and when it ends.
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

// Pure functions; GraceKeeper keeps the grace as a setting.

// One line of text, and back; whole seconds. Nothing: it is no such line.
std::string UnrecordedGraceToText(const UnrecordedGrace& grace);
std::optional<UnrecordedGrace> UnrecordedGraceFromText(absl::string_view text);

// Both at once: the authorities of both, until the later end. A grace is one sentence in `meshca status`.
UnrecordedGrace JoinGraces(const UnrecordedGrace& a, const UnrecordedGrace& b);

// The issuing authorities that may have signed what a lost database knew: all that are neither retired nor tainted.
std::vector<std::string> AuthoritiesBeforeRestore(const std::vector<SigningAuthority>& authorities);

// What is left of `grace`. `newest` is the newest time that the clock guard believed, not the wall clock: it never goes
// back, so a grace that has ended does not begin again. An authority that is tainted or under a tainted root, retired
// or forgotten, is covered no longer. Nothing: it has ended.
std::optional<UnrecordedGrace> RemainingGrace(const UnrecordedGrace& grace,
                                              const std::vector<SigningAuthority>& authorities, absl::Time newest);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_UNRECORDED_GRACE_H_
