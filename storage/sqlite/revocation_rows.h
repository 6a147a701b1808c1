// What is revoked, as rows. They count once the operation they belong to is done.
#ifndef MESHCA_STORAGE_SQLITE_REVOCATION_ROWS_H_
#define MESHCA_STORAGE_SQLITE_REVOCATION_ROWS_H_

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/authority/key_encryption.h"
#include "ca/issuance/revocation_store.h"
#include "storage/revocation_plan.h"
#include "storage/sqlite/database.h"

namespace meshca::storage {

// Which of the live certificates are offered to a plan.
struct RevocableQuery {
  absl::Time alive_at;
  int64_t after_number = 0;  // issued later than the one with this number
  // Null: those are selected whose line or key is revoked already, and they are not.
  const RevocationSelection* selection = nullptr;
};
// Offers what `query` asks for, and what is not revoked yet, until the plan grows no more. Inside a transaction of the
// caller, a reader's or the writer's.
absl::Status GrowPlan(Database& database, const KeyEncryption& keys, const RevocableQuery& query, RevocationPlan& plan);
// The highest number of a recorded certificate.
absl::StatusOr<int64_t> NewestNumber(Database& database);

// Begins an operation; its number. Nothing of it counts before FinishOperation.
absl::StatusOr<int64_t> BeginOperation(Database& database, absl::Time at, RevocationReason reason);
absl::Status FinishOperation(Database& database, int64_t operation);

// Each with its line and its key.
absl::Status StageCertificates(Database& database, int64_t operation,
                               std::span<const RevocationPlan::Certificate> certificates);

// Deletes at most `rows_max` rows of each kind whose last certificate ended before `expired_before`, or, as long as
// there are any, that an interrupted revocation left; how many rows it deleted. Not while one is being staged.
absl::StatusOr<uint64_t> PruneRevocations(Database& database, absl::Time expired_before, uint64_t rows_max);
// Deletes the operations that have no rows left. Reads all that is revoked.
absl::Status PruneOperations(Database& database);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_SQLITE_REVOCATION_ROWS_H_
