// RevocationTable in SQLite.
#ifndef MESHCA_STORAGE_SQLITE_SQLITE_REVOCATION_TABLE_H_
#define MESHCA_STORAGE_SQLITE_SQLITE_REVOCATION_TABLE_H_

#include <optional>

#include "storage/revocation_table.h"
#include "storage/sqlite/database.h"

namespace meshca::storage {

class SqliteRevocationTable final : public RevocationTable {
 public:
  explicit SqliteRevocationTable(Database& database) : database_(database) {}

  absl::StatusOr<std::optional<Revocation>> FindLine(absl::string_view line) override;
  absl::StatusOr<std::optional<Revocation>> FindKey(absl::string_view key_sha256) override;
  absl::StatusOr<bool> HasAnyKey() override;
  absl::Status VisitCandidates(const RevocableQuery& query, VisitRevocable visit) override;
  absl::StatusOr<int64_t> BeginOperation(absl::Time at, RevocationReason reason) override;
  absl::Status FinishOperation(int64_t operation) override;
  absl::Status PutCertificate(absl::string_view serial, int64_t not_after, int64_t operation) override;
  absl::Status PutLine(absl::string_view line, int64_t not_after, int64_t operation) override;
  absl::Status PutKey(absl::string_view key_sha256, int64_t not_after, int64_t operation) override;
  absl::StatusOr<uint64_t> Prune(absl::Time expired_before, uint64_t rows_max) override;
  absl::Status PruneOperations() override;

 private:
  Database& database_;
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_SQLITE_SQLITE_REVOCATION_TABLE_H_
