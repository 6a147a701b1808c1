// What a database that comes from a backup must forget and change before it serves again.
#ifndef MESHCA_STORAGE_RECOVERED_TRUST_H_
#define MESHCA_STORAGE_RECOVERED_TRUST_H_

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ca/authority/key_encryption.h"
#include "ca/identity/audit_entry.h"
#include "storage/tables.h"

namespace meshca::storage {

// Turns the database of a backup into a store in state `recovered`: the bundle's number leaps, tokens are void, a
// rotation asks for its evidence anew, kSettingRecovered is set. Inside a writing transaction of the caller.
absl::Status MarkRecovered(Tables& tables, const KeyEncryption& keys, absl::Time now, const AuditEntry& audit);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_RECOVERED_TRUST_H_
