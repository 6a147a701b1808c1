// RevocationStore::Revoke in steps, none of which holds the writer up for long.
#ifndef MESHCA_STORAGE_SQLITE_REVOKE_H_
#define MESHCA_STORAGE_SQLITE_REVOKE_H_

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ca/authority/key_encryption.h"
#include "ca/identity/audit_entry.h"
#include "ca/issuance/revocation_store.h"
#include "storage/sqlite/database.h"

namespace meshca::storage {

// How the steps reach the database: each body runs once, in a transaction of its own.
struct RevokeAccess {
  using Body = absl::FunctionRef<absl::Status(Database&)>;
  absl::FunctionRef<absl::Status(Body)> read;
  absl::FunctionRef<absl::Status(Body)> write;
  const KeyEncryption& keys;
};

// Readers find what is concerned; small transactions write it as an operation that does not count yet; the last one
// looks at what was issued meanwhile, makes all of it count and writes the audit entry. A crash before that leaves rows
// that mean nothing. One call at a time.
absl::StatusOr<RevocationResult> RevokeInSteps(const RevokeAccess& access, const RevocationSelection& selection,
                                               RevocationReason reason, bool dry_run, const AuditEntry& audit,
                                               absl::FunctionRef<bool(const IssuanceRecord&)> visit);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_SQLITE_REVOKE_H_
