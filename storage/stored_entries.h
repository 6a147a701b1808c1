// Registration entries: one id and one set of rights each, and that a row somebody else wrote is none.
#ifndef MESHCA_STORAGE_STORED_ENTRIES_H_
#define MESHCA_STORAGE_STORED_ENTRIES_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/authority/key_encryption.h"
#include "ca/identity/entry_store.h"
#include "storage/tables.h"

namespace meshca::storage {

// The calls of EntryStore, which says the errors, inside a transaction of the caller.
absl::Status CreateEntry(Tables& tables, const KeyEncryption& keys, const RegistrationEntry& entry);
absl::Status PutEntry(Tables& tables, const KeyEncryption& keys, const RegistrationEntry& entry);
absl::StatusOr<std::vector<RegistrationEntry>> ListEntries(Tables& tables, const KeyEncryption& keys);
absl::Status DeleteEntry(Tables& tables, absl::string_view id);

// Does the entry `id`, or any where it is "", give `spiffe_id`? One that was made or replaced after `issued_at` is
// another one, whatever its id: what it gives, it gives to whom it names. Not asked where the id is "".
absl::StatusOr<bool> EntryGives(Tables& tables, const KeyEncryption& keys, const std::string& id,
                                const SpiffeId& spiffe_id, absl::Time issued_at);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_STORED_ENTRIES_H_
