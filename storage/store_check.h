// Is a database what it should be?
#ifndef MESHCA_STORAGE_STORE_CHECK_H_
#define MESHCA_STORAGE_STORE_CHECK_H_

#include "absl/status/status.h"
#include "ca/authority/key_encryption.h"
#include "storage/tables.h"

namespace meshca::storage {

// Reads everything: the database's own structure, row MACs, the audit chain, the counters and references of issuances.
// Ok, or DataLoss with the first findings and what to do. Inside a read transaction of the caller.
absl::Status CheckStored(Tables& tables, const KeyEncryption& keys);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_STORE_CHECK_H_
