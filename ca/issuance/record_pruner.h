// Deletes what the CA need not remember any more, without standing in the way of issuance.
#ifndef MESHCA_CA_ISSUANCE_RECORD_PRUNER_H_
#define MESHCA_CA_ISSUANCE_RECORD_PRUNER_H_

#include <atomic>
#include <cstdint>

#include "absl/time/time.h"
#include "ca/base/judged_clock.h"
#include "ca/issuance/store_maintenance.h"

namespace meshca {

// Prunes a store in small batches with pauses between them, and never by a clock that is not believed: a year too far
// would empty the record. A loop calls Tick; SetRetention may come from any thread.
class RecordPruner {
 public:
  // Rows deleted in one go: a batch of issuances waits no longer than that takes.
  static constexpr uint64_t kRowsMax = 1000;
  // Between two batches of one pruning: so many times as long as the batch took, because issuance goes first.
  static constexpr int kPause = 9;
  // Between two prunings: after one that left nothing to delete, or failed, or found its clock in doubt.
  static constexpr absl::Duration kEvery = absl::Minutes(10);

  // Records are kept for `retention` after their end. `store` and `clock` outlive the pruner.
  RecordPruner(StoreMaintenance& store, const JudgedClock& clock, absl::Duration retention);

  // Holds from the next batch on.
  void SetRetention(absl::Duration retention);

  // Deletes one batch where it is time for one; how long to wait before the next call. Blocks on the database. One call
  // at a time.
  absl::Duration Tick();

 private:
  StoreMaintenance& store_;
  const JudgedClock& clock_;
  std::atomic<int64_t> retention_s_;
  absl::Duration next_ = -absl::InfiniteDuration();  // since boot; Tick's
};

}  // namespace meshca

#endif  // MESHCA_CA_ISSUANCE_RECORD_PRUNER_H_
