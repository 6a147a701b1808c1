#include "storage/sqlite/audit_rows.h"

#include <string>
#include <utility>

#include "ca/base/status.h"
#include "storage/audit_chain.h"

namespace meshca::storage {

absl::Status InsertAudit(Database& database, AuditEntry entry) {
  std::string previous_hash;
  uint64_t previous_sequence = 0;
  {
    Query last(database, "SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1");
    if (last.Next()) {
      previous_sequence = last.Uint();
      previous_hash = last.String();
    }
    MESHCA_RETURN_IF_ERROR(last.status());
  }
  ChainAuditEntry(previous_hash, previous_sequence, entry);
  return Query(database,
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

absl::Status VisitAudit(Database& database, absl::FunctionRef<bool(const AuditEntry&)> visit) {
  Query rows(database, "SELECT sequence, time, actor, action, target, detail, hash FROM audit ORDER BY sequence");
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
