// Before when no root may be retired: for one longest leaf lifetime after a restore from a backup.
#ifndef MESHCA_CA_AUTHORITY_RETIRE_NOT_BEFORE_H_
#define MESHCA_CA_AUTHORITY_RETIRE_NOT_BEFORE_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/authority/authority_store.h"

namespace meshca {

// A restored database does not know the certificates that were issued after the backup was made. Until all of those
// have ended, that no known certificate depends on a root proves nothing. Kept as the setting kSettingRetireNotBefore,
// in whole seconds; the errors of the store.

// InfinitePast: there is no such time. DataLoss: what is stored is no number.
absl::StatusOr<absl::Time> ReadRetireNotBefore(AuthorityStore& store);
absl::Status WriteRetireNotBefore(AuthorityStore& store, absl::Time time);

// Takes it back to `latest` where it is later: a restore that was finished under a clock ahead of the right one forbade
// retirement for as long as that was ahead.
absl::Status LimitRetireNotBefore(AuthorityStore& store, absl::Time latest);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_RETIRE_NOT_BEFORE_H_
