// The audit log: every deed adds a line that hangs on all lines before it.
#ifndef MESHCA_STORAGE_AUDIT_LOG_H_
#define MESHCA_STORAGE_AUDIT_LOG_H_

#include "absl/status/status.h"
#include "ca/identity/audit_entry.h"
#include "storage/tables.h"

namespace meshca::storage {

// Adds `entry` behind the last line. In the transaction of the deed, so that neither is there without the other.
absl::Status AppendAudit(Tables& tables, AuditEntry entry);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_AUDIT_LOG_H_
