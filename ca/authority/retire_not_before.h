// The time before which a root may not be retired, because certificates under it may be alive of which there is no
// record.
#ifndef MESHCA_CA_AUTHORITY_RETIRE_NOT_BEFORE_H_
#define MESHCA_CA_AUTHORITY_RETIRE_NOT_BEFORE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/authority/authority_snapshot.h"
#include "ca/authority/authority_store.h"
#include "ca/authority/root_rotation.h"

namespace meshca {

// A restored database does not know the certificates that were issued after the backup. Until all of them have ended,
// an inventory without certificates under a root does not prove that there are none. The time is the setting
// kSettingRetireNotBefore, in whole seconds. All calls block on the database and return its errors.

// Read: InfinitePast if there is no such time. DataLoss: the stored text is not a number.
absl::StatusOr<absl::Time> ReadRetireNotBefore(AuthorityStore& store);
absl::Status WriteRetireNotBefore(AuthorityStore& store, absl::Time time);

// Before when `rotation` may not retire its old root: the stored time, or the end of the time in which certificates may
// renew that an authority under that root signed elsewhere (AuthoritySnapshot::unrecorded), whichever is later.
absl::StatusOr<absl::Time> RetireNotBeforeOf(const RootRotation& rotation, const AuthoritySnapshot& authorities,
                                             AuthorityStore& store);
// Why a root is not retired before `not_before`, for people.
std::string WhyNotRetiredBefore(absl::Time not_before);

// Sets the time to `latest` if it is later: a restore that was finished while the clock was ahead set it too late.
absl::Status LimitRetireNotBefore(AuthorityStore& store, absl::Time latest);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_RETIRE_NOT_BEFORE_H_
