// How a revocation finds what it takes with it, among the rows of a database.
#ifndef MESHCA_STORAGE_REVOCATION_GROWTH_H_
#define MESHCA_STORAGE_REVOCATION_GROWTH_H_

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "ca/authority/key_encryption.h"
#include "storage/revocation_plan.h"
#include "storage/tables.h"

namespace meshca::storage {

// Offers the candidates of `query` to `plan` until it grows no more. Where the query selects nothing by itself, those
// are selected whose line or key is revoked already. Inside a transaction of the caller, a reader's or the writer's.
absl::Status GrowPlan(Tables& tables, const KeyEncryption& keys, const RevocableQuery& query, RevocationPlan& plan);

// Writes each certificate with its line and its key as part of `operation`.
absl::Status StageCertificates(Tables& tables, int64_t operation,
                               std::span<const RevocationPlan::Certificate> certificates);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_REVOCATION_GROWTH_H_
