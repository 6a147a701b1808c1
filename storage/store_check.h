// Checks that a whole database is consistent and that its rows are authentic. For `meshca check`.
#ifndef MESHCA_STORAGE_STORE_CHECK_H_
#define MESHCA_STORAGE_STORE_CHECK_H_

#include "absl/status/status.h"
#include "ca/authority/key_encryption.h"
#include "storage/tables.h"

namespace meshca::storage {

// Reads everything: the database's own structure, row MACs, the audit chain, the counters and references of issuances.
// DataLoss: lists what is wrong, and what to do. Unavailable: the database does not answer. Runs inside a reading
// transaction of the caller.
absl::Status CheckStored(Tables& tables, const KeyEncryption& keys);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_STORE_CHECK_H_
