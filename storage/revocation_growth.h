// Finds all certificates that a revocation concerns in the database (see RevocationPlan), and writes them.
#ifndef MESHCA_STORAGE_REVOCATION_GROWTH_H_
#define MESHCA_STORAGE_REVOCATION_GROWTH_H_

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "ca/authority/key_encryption.h"
#include "storage/revocation_plan.h"
#include "storage/tables.h"

namespace meshca::storage {

// Offers the candidates of `query` to `plan`, again and again until the plan grows no more. If query.selection is null,
// the certificates are selected whose line or key is revoked already. Runs inside a transaction of the caller, reading
// or writing.
absl::Status GrowPlan(Tables& tables, const KeyEncryption& keys, const RevocableQuery& query, RevocationPlan& plan);

// Writes each certificate, its line and its key as revoked by `operation`. Runs inside a writing transaction of the
// caller.
absl::Status StageCertificates(Tables& tables, int64_t operation,
                               std::span<const RevocationPlan::Certificate> certificates);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_REVOCATION_GROWTH_H_
