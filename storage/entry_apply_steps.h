// EntryApplyStore in steps, none of which holds the writer up for long.
#ifndef MESHCA_STORAGE_ENTRY_APPLY_STEPS_H_
#define MESHCA_STORAGE_ENTRY_APPLY_STEPS_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ca/identity/entry_apply_store.h"
#include "storage/transactions.h"

namespace meshca::storage {

absl::StatusOr<uint64_t> BeginEntryApply(const Transactions& transactions);

// `first` is how many entries were given before `part`.
absl::Status StageInSteps(const Transactions& transactions, uint64_t apply, uint64_t first,
                          std::span<const GivenEntry> part, size_t* at);

// Compares what was given with what lives, marks what changes, and (unless `dry_run`) makes it count by one short
// transaction. Meanwhile nobody else may write entries. True: it counts. `*at` is a place, from 1. The listener hears
// of the first half of the progress.
absl::StatusOr<bool> JudgeAndActivate(const Transactions& transactions, uint64_t apply,
                                      const EntryApplyOptions& options, const AuditEntry& audit,
                                      const EntryApplyListener& listener, EntryApplyCounts& counts, uint64_t* at);

// Brings the rows of an apply to rest: of one that counts, what it replaced goes and the audit log gets its lines; of
// one that does not, everything goes. An apply that is unknown has no rows.
absl::Status SettleApply(const Transactions& transactions, uint64_t apply,
                         absl::FunctionRef<void(uint64_t done, uint64_t of)> progress);

// An apply that a crash left behind and `skip` does not name; 0: there is none.
absl::StatusOr<uint64_t> FindAbandonedApply(Tables& tables, absl::FunctionRef<bool(uint64_t)> skip);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_ENTRY_APPLY_STEPS_H_
