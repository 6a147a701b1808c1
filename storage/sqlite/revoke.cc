#include "storage/sqlite/revoke.h"

#include <algorithm>
#include <span>
#include <string>

#include "ca/base/status.h"
#include "storage/revocation_plan.h"
#include "storage/sqlite/audit_rows.h"
#include "storage/sqlite/issuance_rows.h"
#include "storage/sqlite/revocation_rows.h"

namespace meshca::storage {
namespace {

// Rows of one transaction: issuance waits a few milliseconds for it.
constexpr size_t kChunk = 200;

using Certificates = std::span<const RevocationPlan::Certificate>;

absl::Status StageInChunks(const RevokeAccess& access, Certificates certificates, int64_t operation) {
  while (!certificates.empty()) {
    const Certificates chunk = certificates.first(std::min(kChunk, certificates.size()));
    MESHCA_RETURN_IF_ERROR(
        access.write([&](Database& database) { return StageCertificates(database, operation, chunk); }));
    certificates = certificates.subspan(chunk.size());
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> Begin(const RevokeAccess& access, absl::Time at, RevocationReason reason) {
  int64_t operation = 0;
  MESHCA_RETURN_IF_ERROR(access.write([&](Database& database) {
    MESHCA_ASSIGN_OR_RETURN(operation, BeginOperation(database, at, reason));
    return absl::OkStatus();
  }));
  return operation;
}

// Makes the plan count, with what was issued since `query` was last asked.
absl::Status Finish(const RevokeAccess& access, const RevocableQuery& query, RevocationReason reason,
                    const AuditEntry& audit, int64_t operation, RevocationPlan& plan) {
  const size_t staged = plan.certificates().size();
  return access.write([&](Database& database) {
    MESHCA_RETURN_IF_ERROR(GrowPlan(database, access.keys, query, plan));
    MESHCA_RETURN_IF_ERROR(StageCertificates(database, operation, Certificates(plan.certificates()).subspan(staged)));
    MESHCA_RETURN_IF_ERROR(FinishOperation(database, operation));
    return InsertAudit(
        database, RevocationAudit(audit, *query.selection, reason, plan.certificates().size(), plan.lines().size()));
  });
}

// A certificate that was issued while the plan was staged may share its line or its key with older ones, which nothing
// selected. They get nothing more already; this lists and counts them as revoked too.
absl::StatusOr<RevocationPlan> RevokeMates(const RevokeAccess& access, const RevocationSelection& selection,
                                           RevocationReason reason, const AuditEntry& audit, int64_t operation) {
  RevocationPlan mates;
  RevocableQuery query;
  query.alive_at = audit.time;
  MESHCA_RETURN_IF_ERROR(
      access.read([&](Database& database) { return GrowPlan(database, access.keys, query, mates); }));
  if (mates.certificates().empty()) return mates;
  MESHCA_RETURN_IF_ERROR(StageInChunks(access, mates.certificates(), operation));
  MESHCA_RETURN_IF_ERROR(access.write([&](Database& database) {
    return InsertAudit(database,
                       RevocationAudit(audit, selection, reason, mates.certificates().size(), mates.lines().size()));
  }));
  return mates;
}

absl::Status VisitPlan(const RevokeAccess& access, const RevocationPlan& plan,
                       absl::FunctionRef<bool(const IssuanceRecord&)> visit) {
  return access.read([&](Database& database) {
    for (const RevocationPlan::Certificate& certificate : plan.certificates()) {
      MESHCA_ASSIGN_OR_RETURN(const SerialNumber serial, SerialNumber::FromBytes(certificate.serial));
      const absl::StatusOr<IssuanceRecord> record = SelectIssuance(database, serial);
      if (absl::IsNotFound(record.status())) continue;  // pruned meanwhile
      MESHCA_RETURN_IF_ERROR(record.status());
      if (!visit(*record)) break;
    }
    return absl::OkStatus();
  });
}

}  // namespace

absl::StatusOr<RevocationResult> RevokeInSteps(const RevokeAccess& access, const RevocationSelection& selection,
                                               RevocationReason reason, bool dry_run, const AuditEntry& audit,
                                               absl::FunctionRef<bool(const IssuanceRecord&)> visit) {
  MESHCA_RETURN_IF_ERROR(CheckSelection(selection));
  RevocationPlan plan;
  RevocableQuery query;
  query.alive_at = audit.time;
  query.selection = &selection;
  int64_t newest = 0;
  MESHCA_RETURN_IF_ERROR(access.read([&](Database& database) {
    MESHCA_ASSIGN_OR_RETURN(newest, NewestNumber(database));
    return GrowPlan(database, access.keys, query, plan);
  }));
  if (plan.certificates().empty()) return NothingToRevoke(selection);
  RevocationResult result;
  if (!dry_run) {
    MESHCA_ASSIGN_OR_RETURN(const int64_t operation, Begin(access, audit.time, reason));
    MESHCA_RETURN_IF_ERROR(StageInChunks(access, plan.certificates(), operation));
    const size_t staged = plan.certificates().size();
    query.after_number = newest;
    MESHCA_RETURN_IF_ERROR(Finish(access, query, reason, audit, operation, plan));
    if (plan.certificates().size() > staged) {
      MESHCA_ASSIGN_OR_RETURN(const RevocationPlan mates, RevokeMates(access, selection, reason, audit, operation));
      result.certificates = mates.certificates().size();
      for (const std::string& line : mates.lines()) result.lines += plan.lines().contains(line) ? 0 : 1;
      MESHCA_RETURN_IF_ERROR(VisitPlan(access, mates, visit));
    }
  }
  result.certificates += plan.certificates().size();
  result.lines += plan.lines().size();
  MESHCA_RETURN_IF_ERROR(VisitPlan(access, plan, visit));
  return result;
}

}  // namespace meshca::storage
