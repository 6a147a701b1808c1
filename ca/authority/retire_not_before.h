// The time before which no root may be retired: one longest leaf lifetime after a restore from a backup.
#ifndef MESHCA_CA_AUTHORITY_RETIRE_NOT_BEFORE_H_
#define MESHCA_CA_AUTHORITY_RETIRE_NOT_BEFORE_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/authority/authority_store.h"

namespace meshca {

// A restored database does not know the certificates that were issued after the backup. Until all of them have ended,
// an inventory without certificates under a root does not prove that there are none. The time is the setting
// kSettingRetireNotBefore, in whole seconds. All calls block on the database and return its errors.

// Read: InfinitePast if there is no such time. DataLoss: the stored text is not a number.
absl::StatusOr<absl::Time> ReadRetireNotBefore(AuthorityStore& store);
absl::Status WriteRetireNotBefore(AuthorityStore& store, absl::Time time);

// Sets the time to `latest` if it is later: a restore that was finished while the clock was ahead set it too late.
absl::Status LimitRetireNotBefore(AuthorityStore& store, absl::Time latest);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_RETIRE_NOT_BEFORE_H_
