#include "storage/sqlite/sqlite_audit_table.h"

#include "ca/base/status.h"

namespace meshca::storage {

absl::StatusOr<AuditTable::Last> SqliteAuditTable::FindLast() {
  Last last;
  Query row(database_, "SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1");
  if (row.Next()) {
    last.sequence = row.Uint();
    last.hash = row.String();
  }
  MESHCA_RETURN_IF_ERROR(row.status());
  return last;
}

absl::Status SqliteAuditTable::Insert(const AuditEntry& entry) {
  return Query(database_,
               "INSERT INTO audit(sequence, time, actor, action, target, detail, hash) VALUES(?, ?, ?, ?, ?, ?, ?)")
      .Bind(entry.sequence)
      .Bind(entry.time)
      .Bind(entry.actor)
      .Bind(entry.action)
      .Bind(entry.target)
      .Bind(entry.detail)
      .BindBlob(entry.hash)
      .Run();
}

absl::Status SqliteAuditTable::Visit(absl::FunctionRef<bool(const AuditEntry&)> visit) {
  Query rows(database_, "SELECT sequence, time, actor, action, target, detail, hash FROM audit ORDER BY sequence");
  while (rows.Next()) {
    AuditEntry entry;
    entry.sequence = rows.Uint();
    entry.time = rows.Time();
    entry.actor = rows.String();
    entry.action = rows.String();
    entry.target = rows.String();
    entry.detail = rows.String();
    entry.hash = rows.String();
    if (!visit(entry)) break;
  }
  return rows.status();
}

}  // namespace meshca::storage
