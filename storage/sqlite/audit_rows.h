// The audit log's rows.
#ifndef MESHCA_STORAGE_SQLITE_AUDIT_ROWS_H_
#define MESHCA_STORAGE_SQLITE_AUDIT_ROWS_H_

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "ca/identity/audit_entry.h"
#include "storage/sqlite/database.h"

namespace meshca::storage {

// Appends to the chain. In the transaction of the deed.
absl::Status InsertAudit(Database& database, AuditEntry entry);

// Oldest first, until `visit` returns false.
absl::Status VisitAudit(Database& database, absl::FunctionRef<bool(const AuditEntry&)> visit);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_SQLITE_AUDIT_ROWS_H_
