// IssuanceTable in SQLite: the hot path of the writer, and what readers ask of the inventory.
#ifndef MESHCA_STORAGE_SQLITE_SQLITE_ISSUANCE_TABLE_H_
#define MESHCA_STORAGE_SQLITE_SQLITE_ISSUANCE_TABLE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "storage/issuance_table.h"
#include "storage/sqlite/database.h"
#include "storage/sqlite/name_numbers.h"

namespace meshca::storage {

class SqliteIssuanceTable final : public IssuanceTable {
 public:
  explicit SqliteIssuanceTable(Database& database) : database_(database), names_(database) {}

  absl::Status Insert(const NewIssuance& row) override;
  absl::StatusOr<std::optional<RecordedCertificate>> FindRecorded(absl::string_view serial) override;
  absl::StatusOr<std::optional<IssuanceRecord>> Find(const SerialNumber& serial) override;
  absl::StatusOr<bool> Has(absl::string_view serial) override;
  absl::StatusOr<bool> HasCertificate(const SerialNumber& serial, absl::string_view certificate_sha256) override;
  absl::Status Visit(const IssuanceFilter& filter, absl::FunctionRef<bool(const IssuanceRecord&)> visit) override;
  absl::StatusOr<int64_t> NewestNumber() override;
  absl::StatusOr<uint64_t> Count() override;
  absl::StatusOr<uint64_t> CountSignedBy(const std::string& authority_id) override;
  absl::StatusOr<std::map<std::string, uint64_t>> CountLive(absl::Time now) override;
  absl::StatusOr<uint64_t> Prune(absl::Time expired_before, uint64_t rows_max) override;

  // A transaction begins.
  void BeginTransaction();
  // Brings the counters up to the rows inserted since. Before anything reads them, and before COMMIT.
  absl::Status WriteCounters();
  // The transaction did not commit: names met in it have no number, and its rows do not count.
  void ForgetTransaction();

 private:
  Database& database_;
  NameNumbers names_;
  std::map<std::pair<int64_t, int64_t>, int64_t> expiry_changes_;  // (minute, authority) -> rows, not yet in the table
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_SQLITE_SQLITE_ISSUANCE_TABLE_H_
