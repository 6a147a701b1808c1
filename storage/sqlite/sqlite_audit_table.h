// AuditTable in SQLite.
#ifndef MESHCA_STORAGE_SQLITE_SQLITE_AUDIT_TABLE_H_
#define MESHCA_STORAGE_SQLITE_SQLITE_AUDIT_TABLE_H_

#include "storage/audit_table.h"
#include "storage/sqlite/database.h"

namespace meshca::storage {

class SqliteAuditTable final : public AuditTable {
 public:
  explicit SqliteAuditTable(Database& database) : database_(database) {}

  absl::StatusOr<Last> FindLast() override;
  absl::Status Insert(const AuditEntry& entry) override;
  absl::Status Visit(absl::FunctionRef<bool(const AuditEntry&)> visit) override;

 private:
  Database& database_;
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_SQLITE_SQLITE_AUDIT_TABLE_H_
