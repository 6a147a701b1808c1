// SettingTable in SQLite.
#ifndef MESHCA_STORAGE_SQLITE_SQLITE_SETTING_TABLE_H_
#define MESHCA_STORAGE_SQLITE_SQLITE_SETTING_TABLE_H_

#include <optional>

#include "storage/setting_table.h"
#include "storage/sqlite/database.h"

namespace meshca::storage {

class SqliteSettingTable final : public SettingTable {
 public:
  explicit SqliteSettingTable(Database& database) : database_(database) {}

  absl::StatusOr<std::optional<WithMac<SettingRow>>> Find(absl::string_view name) override;
  absl::Status Put(absl::string_view name, absl::string_view value, absl::string_view mac) override;
  absl::Status VisitSealed(absl::FunctionRef<absl::Status(WithMac<SettingRow>)> visit) override;

 private:
  Database& database_;
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_SQLITE_SQLITE_SETTING_TABLE_H_
