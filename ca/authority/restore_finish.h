// Does what remains to be done at the first start after the database was restored from a backup.
#ifndef MESHCA_CA_AUTHORITY_RESTORE_FINISH_H_
#define MESHCA_CA_AUTHORITY_RESTORE_FINISH_H_

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ca/authority/authority_ledger.h"
#include "ca/authority/authority_maker.h"
#include "ca/authority/clock_watch.h"
#include "ca/authority/grace_keeper.h"

namespace meshca {

// `meshca db restore` leaves a mark in the database (kSettingRecovered); without it nothing is done and the answer is
// Ok. What was issued after the backup is unknown here, and the lost database may have published higher bundle numbers.
// Therefore a new issuing authority takes over, the next key of JWT-SVIDs is published, the bundle gets a number above
// all that can have been published, and no root is retired for `leaf_lifetime_max`. If the mark is sealed, so that the
// restore itself made it, certificates without a record may also be renewed for that long. Every step may be repeated
// after a crash; the last one removes the mark. Blocks on the database. Errors: those of the store and of `maker`.
absl::Status FinishRestore(AuthorityLedger& ledger, const AuthorityMaker& maker, const ClockWatch& clock,
                           GraceKeeper& grace, absl::Duration leaf_lifetime_max);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_RESTORE_FINISH_H_
