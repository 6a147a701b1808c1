// The lookups that the rules of renewal make, within one transaction.
#ifndef MESHCA_STORAGE_INVENTORY_H_
#define MESHCA_STORAGE_INVENTORY_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/authority/authority_store.h"
#include "ca/authority/key_encryption.h"
#include "ca/identity/entry_store.h"
#include "ca/identity/node_store.h"
#include "ca/spiffe/spiffe_id.h"
#include "storage/tables.h"

namespace meshca::storage {

// Used inside a transaction of the caller, reading or writing. Caches nothing. Errors: those of every table call
// (tables.h). Serial numbers and lines are bytes.
class Inventory {
 public:
  // `tables` and `keys` outlive this object.
  Inventory(Tables& tables, const KeyEncryption& keys) : tables_(tables), keys_(keys) {}

  absl::StatusOr<std::optional<RecordedCertificate>> FindRecorded(absl::string_view serial) const;
  absl::StatusOr<std::optional<Revocation>> FindRevokedLine(absl::string_view line) const;
  // See FindGivingEntry (stored_entries.h). DataLoss also: the entry's MACs do not fit.
  absl::StatusOr<std::optional<RegistrationEntry>> FindEntry(const std::string& id, const SpiffeId& spiffe_id,
                                                             absl::Time issued_at) const;
  // DataLoss also: the row's MAC does not fit.
  absl::StatusOr<std::optional<NodeRecord>> FindNode(absl::string_view node) const;
  // Every authority, retired ones included.
  absl::StatusOr<std::vector<StoredAuthority>> ListAuthorities() const;

 private:
  Tables& tables_;
  const KeyEncryption& keys_;
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_INVENTORY_H_
