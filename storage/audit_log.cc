#include "storage/audit_log.h"

#include "ca/base/status.h"
#include "storage/audit_chain.h"

namespace meshca::storage {

absl::Status AppendAudit(Tables& tables, AuditEntry entry) {
  MESHCA_ASSIGN_OR_RETURN(const AuditTable::Last last, tables.audit.FindLast());
  ChainAuditEntry(last.hash, last.sequence, entry);
  return tables.audit.Insert(entry);
}

}  // namespace meshca::storage
