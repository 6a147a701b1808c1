// EntryApplyStore's calls as series of small transactions, so that other writes never wait for long. All block on the
// database; EntryApplyStore says the errors.
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

// Begins an apply; its number.
absl::StatusOr<uint64_t> BeginEntryApply(const Transactions& transactions);

// Stages `part`; `first` is how many entries were staged before. On error `*at` is the index in `part` of the entry at
// fault.
absl::Status StageInSteps(const Transactions& transactions, uint64_t apply, uint64_t first,
                          std::span<const GivenEntry> part, size_t* at);

// Compares the staged entries with those in force and marks what changes; then, unless `dry_run`, lets the apply take
// effect by one short transaction. Runs inside EntryGate::Judging, so nobody else changes entries meanwhile. True: it
// took effect. After an error `*at` is the place (from 1) of the entry at fault. The listener is told the first half of
// the progress.
absl::StatusOr<bool> JudgeAndActivate(const Transactions& transactions, uint64_t apply,
                                      const EntryApplyOptions& options, const AuditEntry& audit,
                                      const EntryApplyListener& listener, EntryApplyCounts& counts, uint64_t* at);

// Settles an apply, after which nothing of it is left but its results. If it took effect: deletes the rows that it
// replaced, makes its own rows ordinary ones, and writes the audit log. If not: deletes all its rows. Ok for an unknown
// apply.
absl::Status SettleApply(const Transactions& transactions, uint64_t apply,
                         absl::FunctionRef<void(uint64_t done, uint64_t of)> progress);

// An apply in the database for which `skip` is false, which is one that a crash left; 0: there is none.
absl::StatusOr<uint64_t> FindAbandonedApply(Tables& tables, absl::FunctionRef<bool(uint64_t)> skip);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_ENTRY_APPLY_STEPS_H_
