// Finishes a restore from a backup at the first start after it.
#ifndef MESHCA_CA_AUTHORITY_RESTORE_FINISH_H_
#define MESHCA_CA_AUTHORITY_RESTORE_FINISH_H_

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ca/authority/authority_ledger.h"
#include "ca/authority/authority_maker.h"
#include "ca/authority/clock_watch.h"
#include "ca/authority/grace_keeper.h"

namespace meshca {

// `meshca db restore` leaves a mark in the database (kSettingRecovered). What was issued after the backup was made is
// unknown here, and the lost database may have given out higher bundle numbers. So a new issuing authority signs from
// now on, the bundle's number rises above every number that can have been given out, no root is retired for one longest
// leaf lifetime (`leaf_lifetime_max`), and, where the restore itself left the mark, certificates without a record may
// renew for as long. Each step may be done again after a crash: the last one takes the mark away. Ok and nothing done:
// there is no mark.
absl::Status FinishRestore(AuthorityLedger& ledger, const AuthorityMaker& maker, const ClockWatch& clock,
                           GraceKeeper& grace, absl::Duration leaf_lifetime_max);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_RESTORE_FINISH_H_
