#include "storage/sqlite/sqlite_setting_table.h"

#include <utility>

#include "ca/base/status.h"

namespace meshca::storage {
namespace {

WithMac<SettingRow> ReadSetting(Query& row) {
  WithMac<SettingRow> read;
  read.value.name = row.String();
  read.value.value = row.String();
  read.mac = row.String();
  return read;
}

}  // namespace

absl::StatusOr<std::optional<WithMac<SettingRow>>> SqliteSettingTable::Find(absl::string_view name) {
  Query row(database_, "SELECT name, value, mac FROM setting WHERE name = ?");
  row.Bind(name);
  if (row.Next()) return ReadSetting(row);
  MESHCA_RETURN_IF_ERROR(row.status());
  return std::nullopt;
}

absl::Status SqliteSettingTable::Put(absl::string_view name, absl::string_view value, absl::string_view mac) {
  Query write(database_,
              "INSERT INTO setting(name, value, mac) VALUES(?, ?, ?) ON CONFLICT(name) DO UPDATE SET"
              " value = excluded.value, mac = excluded.mac");
  write.Bind(name).BindBlob(value);
  mac.empty() ? write.BindNull() : write.BindBlob(mac);
  return write.Run();
}

absl::Status SqliteSettingTable::VisitSealed(absl::FunctionRef<absl::Status(WithMac<SettingRow>)> visit) {
  Query rows(database_, "SELECT name, value, mac FROM setting WHERE mac IS NOT NULL");
  while (rows.Next()) MESHCA_RETURN_IF_ERROR(visit(ReadSetting(rows)));
  return rows.status();
}

}  // namespace meshca::storage
