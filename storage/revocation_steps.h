// RevocationStore::Revoke in steps, none of which holds the writer up for long.
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

// Readers find what is concerned; small transactions write it as an operation that does not count yet; the last one
// looks at what was issued meanwhile, makes all of it count and writes the audit entry. A crash before that leaves rows
// that mean nothing. One call at a time.
absl::StatusOr<RevocationResult> RevokeInSteps(const Transactions& transactions, const RevocationSelection& selection,
                                               RevocationReason reason, bool dry_run, const AuditEntry& audit,
                                               absl::FunctionRef<bool(const IssuanceRecord&)> visit);

// Deletes all that is revoked whose certificates ended before `expired_before`, and what interrupted revocations left,
// in small transactions. Not while one is being staged.
absl::Status PruneRevocations(const Transactions& transactions, absl::Time expired_before);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_REVOCATION_STEPS_H_
