// EntryApplyTable in SQLite: rows of `entry` that `since` or `until` lead to.
#ifndef MESHCA_STORAGE_SQLITE_SQLITE_ENTRY_APPLY_TABLE_H_
#define MESHCA_STORAGE_SQLITE_SQLITE_ENTRY_APPLY_TABLE_H_

#include <optional>
#include <string>
#include <vector>

#include "storage/entry_apply_table.h"
#include "storage/sqlite/database.h"

namespace meshca::storage {

class SqliteEntryApplyTable final : public EntryApplyTable {
 public:
  explicit SqliteEntryApplyTable(Database& database) : database_(database) {}

  absl::StatusOr<uint64_t> Begin() override;
  absl::StatusOr<std::optional<EntryApplyRow>> Find(uint64_t apply) override;
  absl::Status Activate(uint64_t apply, absl::string_view actor, absl::Time applied_at) override;
  absl::Status Delete(uint64_t apply) override;
  absl::Status Visit(absl::FunctionRef<bool(uint64_t apply)> visit) override;
  absl::StatusOr<uint64_t> CountRows(uint64_t apply) override;

  absl::Status Stage(uint64_t apply, uint64_t place, const GivenEntry& given, const RowMacs& macs) override;
  absl::StatusOr<std::optional<uint64_t>> FindPlace(uint64_t apply, const std::string& id) override;
  absl::StatusOr<std::vector<StagedEntry>> ReadStaged(uint64_t apply, uint64_t after_place, uint64_t rows_max) override;
  absl::Status WriteId(int64_t ref, const std::string& id, const RowMacs& macs) override;
  absl::Status MarkUnchanged(int64_t ref) override;

  absl::StatusOr<std::vector<Absent>> ReadAbsent(uint64_t apply, int64_t after_ref, uint64_t rows_max) override;
  absl::Status TakeAway(uint64_t apply, int64_t ref) override;
  absl::StatusOr<std::vector<TakenEntry>> ReadTaken(uint64_t apply, uint64_t rows_max) override;

  absl::Status Settle(int64_t ref) override;
  absl::Status DeleteRow(int64_t ref) override;
  absl::StatusOr<uint64_t> Undo(uint64_t apply, uint64_t rows_max) override;

 private:
  Database& database_;
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_SQLITE_SQLITE_ENTRY_APPLY_TABLE_H_
