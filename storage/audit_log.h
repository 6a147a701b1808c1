// Appends to the audit log, a hash chain (audit_chain.h) with an entry for every operation that changes something.
#ifndef MESHCA_STORAGE_AUDIT_LOG_H_
#define MESHCA_STORAGE_AUDIT_LOG_H_

#include "absl/status/status.h"
#include "ca/identity/audit_entry.h"
#include "storage/tables.h"

namespace meshca::storage {

// Adds `entry` at the end of the log. To be called in the transaction of the operation that it records, so that neither
// is stored without the other. Errors: those of every table call (tables.h).
absl::Status AppendAudit(Tables& tables, AuditEntry entry);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_AUDIT_LOG_H_
