// What the rules of renewal ask, answered from rows.
#ifndef MESHCA_STORAGE_SQLITE_RENEWAL_ROWS_H_
#define MESHCA_STORAGE_SQLITE_RENEWAL_ROWS_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/authority/key_encryption.h"
#include "ca/issuance/issuance_store.h"
#include "storage/renewal_rules.h"
#include "storage/sqlite/database.h"

namespace meshca::storage {

// Inside a transaction of the caller, the writer's or a reader's. Remembers nothing.
class InventoryRows final : public Inventory {
 public:
  // Both outlive it.
  InventoryRows(Database& database, const KeyEncryption& keys) : database_(database), keys_(keys) {}

  absl::StatusOr<std::optional<RecordedCertificate>> FindRecorded(absl::string_view serial) override;
  absl::StatusOr<std::optional<Revocation>> FindRevokedLine(absl::string_view line) override;
  absl::StatusOr<bool> HasEntry(const std::string& id, const SpiffeId& spiffe_id, absl::Time issued_at) override;
  absl::StatusOr<std::vector<StoredAuthority>> Authorities() override;

 private:
  Database& database_;
  const KeyEncryption& keys_;
};

// Is this key revoked? `key_sha256` is of a SubjectPublicKeyInfo.
absl::StatusOr<std::optional<Revocation>> FindRevokedKey(Database& database, absl::string_view key_sha256);
// May any key be? One lookup in place of FindRevokedKey's for each issuance, as long as nothing was ever revoked.
absl::StatusOr<bool> AnyKeyRevoked(Database& database);

// IssuanceStore::JudgePresented, by a reader.
absl::StatusOr<IssuanceRecord> JudgeShown(Database& database, const KeyEncryption& keys,
                                          const PresentedCertificate& shown,
                                          const std::vector<std::string>* trusted_issuers);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_SQLITE_RENEWAL_ROWS_H_
