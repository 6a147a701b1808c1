// Defines which columns the MAC of each row that grants trust covers, and checks it: the only way to use such a row.
#ifndef MESHCA_STORAGE_TRUST_MACS_H_
#define MESHCA_STORAGE_TRUST_MACS_H_

#include <string>

#include "absl/status/statusor.h"
#include "ca/authority/authority_store.h"
#include "ca/authority/key_encryption.h"
#include "ca/authority/root_rotation.h"
#include "ca/identity/entry_store.h"
#include "ca/identity/node_store.h"
#include "ca/identity/token_store.h"
#include "storage/setting_table.h"
#include "storage/trust_table.h"
#include "storage/with_mac.h"

namespace meshca::storage {

// The MAC to store with the row of this value.
std::string MacOf(const StoredAuthority& authority, const KeyEncryption& keys);
std::string MacOf(const StoredJwtAuthority& authority, const KeyEncryption& keys);
// Without the JWT keys, which have a row and a MAC of their own.
std::string MacOf(const StoredBundle& bundle, const KeyEncryption& keys);
std::string MacOf(const BundleJwtKeys& bundle_keys, const KeyEncryption& keys);
std::string MacOf(const RootRotation& rotation, const KeyEncryption& keys);
std::string MacOf(const SettingRow& setting, const KeyEncryption& keys);
std::string MacOf(const NodeRecord& node, const KeyEncryption& keys);
RowMacs MacsOf(const JoinToken& token, const KeyEncryption& keys);
RowMacs MacsOf(const RegistrationEntry& entry, const KeyEncryption& keys);

// Checks the row's MACs and returns the value. Errors: those of CheckRowMac (row_mac.h).
absl::StatusOr<StoredAuthority> Verified(WithMac<StoredAuthority> row, const KeyEncryption& keys);
absl::StatusOr<StoredJwtAuthority> Verified(WithMac<StoredJwtAuthority> row, const KeyEncryption& keys);
absl::StatusOr<StoredBundle> Verified(WithMac<StoredBundle> row, const KeyEncryption& keys);
absl::StatusOr<BundleJwtKeys> Verified(WithMac<BundleJwtKeys> row, const KeyEncryption& keys);
absl::StatusOr<RootRotation> Verified(WithMac<RootRotation> row, const KeyEncryption& keys);
absl::StatusOr<SettingRow> Verified(WithMac<SettingRow> row, const KeyEncryption& keys);
absl::StatusOr<NodeRecord> Verified(WithMac<NodeRecord> row, const KeyEncryption& keys);
absl::StatusOr<JoinToken> Verified(WithMac<JoinToken> row, const KeyEncryption& keys);
absl::StatusOr<RegistrationEntry> Verified(WithMac<RegistrationEntry> row, const KeyEncryption& keys);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_TRUST_MACS_H_
