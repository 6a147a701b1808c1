// The rules of registration entries: ids are unique, no two entries give the same SPIFFE ID to the same selectors on
// the same nodes, and a row whose MACs do not fit is refused.
#ifndef MESHCA_STORAGE_STORED_ENTRIES_H_
#define MESHCA_STORAGE_STORED_ENTRIES_H_

#include <optional>
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

// The entry `id` if it gives `spiffe_id`; if `id` is "", any entry without nodes that does. An entry `id` that was made
// or replaced after `issued_at` does not count: it has the same id but is another entry, perhaps for other callers. If
// `id` is "", `issued_at` is ignored. Whether it is for the caller's node is for the caller of this to judge.
absl::StatusOr<std::optional<RegistrationEntry>> FindGivingEntry(Tables& tables, const KeyEncryption& keys,
                                                                 const std::string& id, const SpiffeId& spiffe_id,
                                                                 absl::Time issued_at);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_STORED_ENTRIES_H_
