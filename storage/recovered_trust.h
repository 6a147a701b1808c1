// What must be changed in a database restored from a backup before it may be served from.
#ifndef MESHCA_STORAGE_RECOVERED_TRUST_H_
#define MESHCA_STORAGE_RECOVERED_TRUST_H_

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ca/authority/key_encryption.h"
#include "ca/identity/audit_entry.h"
#include "storage/tables.h"

namespace meshca::storage {

// Raises the bundle's number above all that the lost database can have published, deletes all join tokens, lets a
// running rotation gather its evidence anew, and sets kSettingRecovered (settings.h), sealed. Runs inside a writing
// transaction of the caller. Errors: those of LoadTrust and ApplyAuthorityChange.
absl::Status MarkRecovered(Tables& tables, const KeyEncryption& keys, absl::Time now, const AuditEntry& audit);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_RECOVERED_TRUST_H_
