#include "storage/revocation_steps.h"

#include <algorithm>
#include <span>
#include <string>

#include "ca/base/status.h"
#include "storage/audit_log.h"
#include "storage/issuance_appender.h"
#include "storage/revocation_growth.h"
#include "storage/revocation_plan.h"

namespace meshca::storage {
namespace {

// Rows of one transaction: issuance waits a few milliseconds for it.
constexpr size_t kRevocationChunk = 200;

using Certificates = std::span<const RevocationPlan::Certificate>;

absl::Status StageInChunks(const Transactions& transactions, Certificates certificates, int64_t operation) {
  while (!certificates.empty()) {
    const Certificates chunk = certificates.first(std::min(kRevocationChunk, certificates.size()));
    MESHCA_RETURN_IF_ERROR(
        transactions.Write([&](Tables& tables) { return StageCertificates(tables, operation, chunk); }));
    certificates = certificates.subspan(chunk.size());
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> BeginOperation(const Transactions& transactions, absl::Time at, RevocationReason reason) {
  int64_t operation = 0;
  MESHCA_RETURN_IF_ERROR(transactions.Write([&](Tables& tables) {
    MESHCA_ASSIGN_OR_RETURN(operation, tables.revocations.BeginOperation(at, reason));
    return absl::OkStatus();
  }));
  return operation;
}

// Makes the plan count, with what was issued since `query` was last asked.
absl::Status FinishOperation(const Transactions& transactions, const RevocableQuery& query, RevocationReason reason,
                             const AuditEntry& audit, int64_t operation, RevocationPlan& plan) {
  const size_t staged = plan.certificates().size();
  return transactions.Write([&](Tables& tables) {
    MESHCA_RETURN_IF_ERROR(GrowPlan(tables, transactions.keys(), query, plan));
    MESHCA_RETURN_IF_ERROR(StageCertificates(tables, operation, Certificates(plan.certificates()).subspan(staged)));
    MESHCA_RETURN_IF_ERROR(tables.revocations.FinishOperation(operation));
    return AppendAudit(
        tables, RevocationAudit(audit, *query.selection, reason, plan.certificates().size(), plan.lines().size()));
  });
}

// A certificate that was issued while the plan was staged may share its line or its key with older ones, which nothing
// selected. They get nothing more already; this lists and counts them as revoked too.
absl::StatusOr<RevocationPlan> RevokeMates(const Transactions& transactions, const RevocationSelection& selection,
                                           RevocationReason reason, const AuditEntry& audit, int64_t operation) {
  RevocationPlan mates;
  RevocableQuery query;
  query.alive_at = audit.time;
  MESHCA_RETURN_IF_ERROR(
      transactions.Read([&](Tables& tables) { return GrowPlan(tables, transactions.keys(), query, mates); }));
  if (mates.certificates().empty()) return mates;
  MESHCA_RETURN_IF_ERROR(StageInChunks(transactions, mates.certificates(), operation));
  MESHCA_RETURN_IF_ERROR(transactions.Write([&](Tables& tables) {
    return AppendAudit(tables,
                       RevocationAudit(audit, selection, reason, mates.certificates().size(), mates.lines().size()));
  }));
  return mates;
}

absl::Status VisitPlan(const Transactions& transactions, const RevocationPlan& plan,
                       absl::FunctionRef<bool(const IssuanceRecord&)> visit) {
  return transactions.Read([&](Tables& tables) {
    for (const RevocationPlan::Certificate& certificate : plan.certificates()) {
      MESHCA_ASSIGN_OR_RETURN(const SerialNumber serial, SerialNumber::FromBytes(certificate.serial));
      const absl::StatusOr<IssuanceRecord> record = FindIssuance(tables, serial);
      if (absl::IsNotFound(record.status())) continue;  // pruned meanwhile
      MESHCA_RETURN_IF_ERROR(record.status());
      if (!visit(*record)) break;
    }
    return absl::OkStatus();
  });
}

}  // namespace

absl::StatusOr<RevocationResult> RevokeInSteps(const Transactions& transactions, const RevocationSelection& selection,
                                               RevocationReason reason, bool dry_run, const AuditEntry& audit,
                                               absl::FunctionRef<bool(const IssuanceRecord&)> visit) {
  MESHCA_RETURN_IF_ERROR(CheckSelection(selection));
  RevocationPlan plan;
  RevocableQuery query;
  query.alive_at = audit.time;
  query.selection = &selection;
  int64_t newest = 0;
  MESHCA_RETURN_IF_ERROR(transactions.Read([&](Tables& tables) {
    MESHCA_ASSIGN_OR_RETURN(newest, tables.issuances.NewestNumber());
    return GrowPlan(tables, transactions.keys(), query, plan);
  }));
  if (plan.certificates().empty()) return NothingToRevoke(selection);
  RevocationResult result;
  if (!dry_run) {
    MESHCA_ASSIGN_OR_RETURN(const int64_t operation, BeginOperation(transactions, audit.time, reason));
    MESHCA_RETURN_IF_ERROR(StageInChunks(transactions, plan.certificates(), operation));
    const size_t staged = plan.certificates().size();
    query.after_number = newest;
    MESHCA_RETURN_IF_ERROR(FinishOperation(transactions, query, reason, audit, operation, plan));
    if (plan.certificates().size() > staged) {
      MESHCA_ASSIGN_OR_RETURN(const RevocationPlan mates,
                              RevokeMates(transactions, selection, reason, audit, operation));
      result.certificates = mates.certificates().size();
      for (const std::string& line : mates.lines()) result.lines += plan.lines().contains(line) ? 0 : 1;
      MESHCA_RETURN_IF_ERROR(VisitPlan(transactions, mates, visit));
    }
  }
  result.certificates += plan.certificates().size();
  result.lines += plan.lines().size();
  MESHCA_RETURN_IF_ERROR(VisitPlan(transactions, plan, visit));
  return result;
}

absl::Status PruneRevocations(const Transactions& transactions, absl::Time expired_before) {
  bool any = false;
  for (uint64_t deleted = 1; deleted != 0; any |= deleted != 0) {
    MESHCA_RETURN_IF_ERROR(transactions.Write([&](Tables& tables) {
      MESHCA_ASSIGN_OR_RETURN(deleted, tables.revocations.Prune(expired_before, kRevocationChunk));
      return absl::OkStatus();
    }));
  }
  if (!any) return absl::OkStatus();
  return transactions.Write([](Tables& tables) { return tables.revocations.PruneOperations(); });
}

}  // namespace meshca::storage
