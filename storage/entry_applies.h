// The open applies in this process. An apply changes many registration entries at once (`meshca entry apply`).
#ifndef MESHCA_STORAGE_ENTRY_APPLIES_H_
#define MESHCA_STORAGE_ENTRY_APPLIES_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/base/mutex.h"
#include "ca/identity/entry_apply_store.h"
#include "storage/entry_gate.h"
#include "storage/transactions.h"

namespace meshca::storage {

// Implements EntryApplyStore. An open apply has staged rows in the database until it ends, so only a few may be open at
// once. Applies that a crash left in the database are settled: completed if they had taken effect, else undone.
// Thread-safe; calls block on the database.
class EntryApplies {
 public:
  // `transactions` and `gate` outlive this object. When too many applies are open, one whose client has been silent
  // for `silence_max` is closed to make room for a new one.
  EntryApplies(const Transactions& transactions, EntryGate& gate, absl::Duration silence_max)
      : transactions_(transactions), gate_(gate), silence_max_(silence_max) {}

  // See EntryApplyStore for these calls and their errors.
  absl::StatusOr<uint64_t> Begin();
  absl::Status Stage(uint64_t apply, std::span<const GivenEntry> part, size_t* at);
  absl::StatusOr<EntryApplyCounts> Finish(uint64_t apply, const EntryApplyOptions& options, const AuditEntry& audit,
                                          const EntryApplyListener& listener, uint64_t* at);
  void Drop(uint64_t apply);
  void Leave(uint64_t apply) { Close(apply); }

  // Settles the applies that a crash or a failure of the database left.
  absl::Status SettleAbandoned();

 private:
  struct OpenApply {
    uint64_t given = 0;    // entries staged so far
    bool at_work = false;  // a call for it is running
    std::chrono::steady_clock::time_point rests_since = std::chrono::steady_clock::now();
  };

  absl::Status SettleAbandonedLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(ending_);
  // Marks the apply as being worked on, so that it is not closed, and returns how many entries were staged. Aborted: it
  // was closed already.
  absl::StatusOr<uint64_t> BeginWork(uint64_t apply);
  void EndWork(uint64_t apply, uint64_t given);
  // Whether one more apply may open. Closes one that has been silent for too long if needed; its rows are then settled
  // like those that a crash left.
  bool MakePlace() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool IsOpen(uint64_t apply);
  void Close(uint64_t apply);

  const Transactions& transactions_;
  EntryGate& gate_;
  const absl::Duration silence_max_;
  Mutex ending_;  // held while an apply ends, and while abandoned ones are settled
  Mutex mutex_;
  std::map<uint64_t, OpenApply> open_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_ENTRY_APPLIES_H_
