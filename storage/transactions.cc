#include "storage/transactions.h"

#include <memory>

#include "ca/base/check.h"
#include "ca/base/status.h"
#include "storage/audit_log.h"
#include "storage/store_jobs.h"

namespace meshca::storage {

absl::Status Transactions::Write(Body body) const {
  MESHCA_CHECK(!queue_.OnWriterThread());
  ControlJob::Outcome outcome;
  queue_.Submit(std::make_unique<ControlJob>(body, outcome));
  return outcome.Wait();
}

absl::Status Transactions::WriteAudited(const AuditEntry& audit, Body deed) const {
  return Write([&](Tables& tables) {
    MESHCA_RETURN_IF_ERROR(deed(tables));
    return AppendAudit(tables, audit);
  });
}

}  // namespace meshca::storage
