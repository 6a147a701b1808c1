#include "storage/sqlite/sqlite_node_table.h"

#include <utility>

#include "ca/base/status.h"

namespace meshca::storage {
namespace {

WithMac<NodeRecord> ReadNode(Query& row) {
  WithMac<NodeRecord> read;
  NodeRecord& node = read.value;
  node.node = row.String();
  node.joined_at = row.Time();
  node.token_id = row.String();
  node.line_serial = row.String();
  node.certificate_serial = row.String();
  node.certificate_expires = row.Time();
  node.key_sha256 = row.String();
  node.banned_at = row.Time();
  node.banned_by = row.String();
  node.ban_reason = row.String();
  node.joined_number = row.Int();
  read.mac = row.String();
  return read;
}

}  // namespace

absl::StatusOr<std::optional<WithMac<NodeRecord>>> SqliteNodeTable::Find(absl::string_view node) {
  Query row(database_,
            "SELECT name, joined_at, token, line, serial, expires_at, key_sha256, banned_at, banned_by, ban_reason,"
            " joined_number, mac FROM node WHERE name = ?");
  if (row.Bind(node).Next()) return ReadNode(row);
  MESHCA_RETURN_IF_ERROR(row.status());
  return std::nullopt;
}

absl::Status SqliteNodeTable::Visit(absl::FunctionRef<absl::Status(WithMac<NodeRecord>)> visit) {
  Query rows(database_,
             "SELECT name, joined_at, token, line, serial, expires_at, key_sha256, banned_at, banned_by, ban_reason,"
             " joined_number, mac FROM node ORDER BY name");
  while (rows.Next()) MESHCA_RETURN_IF_ERROR(visit(ReadNode(rows)));
  return rows.status();
}

absl::Status SqliteNodeTable::Put(const NodeRecord& node, absl::string_view mac) {
  // Names its columns, and changes the row that is there: a later release may have added some.
  return Query(database_,
               "INSERT INTO node(name, joined_at, token, line, serial, expires_at, key_sha256, banned_at, banned_by,"
               " ban_reason, joined_number, mac) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT(name) DO "
               "UPDATE SET"
               " joined_at = excluded.joined_at, token = excluded.token, line = excluded.line,"
               " serial = excluded.serial, expires_at = excluded.expires_at, key_sha256 = excluded.key_sha256,"
               " banned_at = excluded.banned_at, banned_by = excluded.banned_by, ban_reason = excluded.ban_reason,"
               " joined_number = excluded.joined_number, mac = excluded.mac")
      .Bind(node.node)
      .Bind(node.joined_at)
      .Bind(node.token_id)
      .Bind(node.line_serial)
      .Bind(node.certificate_serial)
      .Bind(node.certificate_expires)
      .BindBlob(node.key_sha256)
      .Bind(node.banned_at)
      .Bind(node.banned_by)
      .Bind(node.ban_reason)
      .Bind(node.joined_number)
      .BindBlob(mac)
      .Run();
}

absl::StatusOr<bool> SqliteNodeTable::Delete(absl::string_view node) {
  MESHCA_RETURN_IF_ERROR(Query(database_, "DELETE FROM node WHERE name = ?").Bind(node).Run());
  return database_.RowsChanged() != 0;
}

}  // namespace meshca::storage
