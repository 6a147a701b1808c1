// The rules of registration entries: ids are unique, no two entries give the same SPIFFE ID to the same selectors, and
// a row whose MAC does not fit is refused.
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

// See EntryStore for these calls and their errors. They run inside a transaction of the caller.
absl::Status CreateEntry(Tables& tables, const KeyEncryption& keys, const RegistrationEntry& entry);
absl::Status PutEntry(Tables& tables, const KeyEncryption& keys, const RegistrationEntry& entry);
absl::StatusOr<std::vector<RegistrationEntry>> ListEntries(Tables& tables, const KeyEncryption& keys);
absl::Status DeleteEntry(Tables& tables, absl::string_view id);

// Whether the entry `id` gives `spiffe_id`; if `id` is "", whether any entry does. An entry `id` that was made or
// replaced after `issued_at` does not count: it has the same id but is another entry, perhaps for other callers. If
// `id` is "", `issued_at` is ignored.
absl::StatusOr<bool> EntryGives(Tables& tables, const KeyEncryption& keys, const std::string& id,
                                const SpiffeId& spiffe_id, absl::Time issued_at);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_STORED_ENTRIES_H_
