// RevocationStore::Revoke as a series of small transactions, so that other writes never wait for long.
#ifndef MESHCA_STORAGE_REVOCATION_STEPS_H_
#define MESHCA_STORAGE_REVOCATION_STEPS_H_

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/identity/audit_entry.h"
#include "ca/issuance/revocation_store.h"
#include "storage/transactions.h"

namespace meshca::storage {

// Finds what is concerned in a reading transaction. Small transactions then write it as part of an operation that has
// no effect yet; the last one adds what was issued meanwhile, lets the operation take effect and writes the audit
// entry. A crash before that leaves rows without effect, which PruneRevocations deletes. One call at a time. Errors:
// those of RevocationStore::Revoke.
absl::StatusOr<RevocationResult> RevokeInSteps(const Transactions& transactions, const RevocationSelection& selection,
                                               RevocationReason reason, bool dry_run, const AuditEntry& audit,
                                               absl::FunctionRef<bool(const IssuanceRecord&)> visit);

// Deletes the revocations whose certificates ended before `expired_before`, and what interrupted revocations left, in
// small transactions. Must not run during RevokeInSteps.
absl::Status PruneRevocations(const Transactions& transactions, absl::Time expired_before);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_REVOCATION_STEPS_H_
