// Is a database what it should be?
#ifndef MESHCA_STORAGE_SQLITE_CHECK_H_
#define MESHCA_STORAGE_SQLITE_CHECK_H_

#include "absl/status/status.h"
#include "ca/authority/key_encryption.h"
#include "storage/sqlite/database.h"

namespace meshca::storage {

// Reads everything: SQLite's own structure, row MACs, the audit chain, the counters and references of issuances. Ok, or
// DataLoss with the first findings and what to do. Inside a read transaction of the caller.
absl::Status CheckDatabase(Database& database, const KeyEncryption& keys);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_SQLITE_CHECK_H_
