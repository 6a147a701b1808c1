// The applies of entries that are under way in this process.
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

// Answers EntryApplyStore. Each open apply has staged rows in the database until it ends, so there are few places; and
// what a crash left without an owner is brought to rest. Thread-safe.
class EntryApplies {
 public:
  // `transactions` and `gate` outlive it. An apply that nobody went on with for `silence_max` gives way to another
  // where all places are taken.
  EntryApplies(const Transactions& transactions, EntryGate& gate, absl::Duration silence_max)
      : transactions_(transactions), gate_(gate), silence_max_(silence_max) {}

  // The calls of EntryApplyStore, which says the errors.
  absl::StatusOr<uint64_t> Begin();
  absl::Status Stage(uint64_t apply, std::span<const GivenEntry> part, size_t* at);
  absl::StatusOr<EntryApplyCounts> Finish(uint64_t apply, const EntryApplyOptions& options, const AuditEntry& audit,
                                          const EntryApplyListener& listener, uint64_t* at);
  void Drop(uint64_t apply);
  void Leave(uint64_t apply) { Close(apply); }

  // Brings to rest what a crash or a broken database left of applies.
  absl::Status SettleAbandoned();

 private:
  struct OpenApply {
    uint64_t given = 0;  // entries
    bool at_work = false;
    std::chrono::steady_clock::time_point rests_since = std::chrono::steady_clock::now();
  };

  absl::Status SettleAbandonedLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(ending_);
  // Somebody works on it from now on, so that it does not give way. How many entries it was given. Aborted: it has.
  absl::StatusOr<uint64_t> BeginWork(uint64_t apply);
  void EndWork(uint64_t apply, uint64_t given);
  // A place for one more: one that nobody went on with gives its own. What it was given is abandoned, as after a crash.
  bool MakePlace() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool IsOpen(uint64_t apply);
  void Close(uint64_t apply);

  const Transactions& transactions_;
  EntryGate& gate_;
  const absl::Duration silence_max_;
  Mutex ending_;  // held while an apply ends, and while abandoned ones are brought to rest
  Mutex mutex_;
  std::map<uint64_t, OpenApply> open_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_ENTRY_APPLIES_H_
