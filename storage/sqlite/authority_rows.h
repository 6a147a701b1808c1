// Authorities, bundles, trust domain and settings as rows; a rotation with them (rotation_rows.h). Those that grant
// trust carry a MAC, checked at each read.
#ifndef MESHCA_STORAGE_SQLITE_AUTHORITY_ROWS_H_
#define MESHCA_STORAGE_SQLITE_AUTHORITY_ROWS_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/authority/authority_store.h"
#include "ca/authority/key_encryption.h"
#include "storage/sqlite/database.h"

namespace meshca::storage {

// Inside a transaction of the caller, all of them.
absl::StatusOr<AuthoritiesAndBundle> SelectAuthorities(Database& database, const KeyEncryption& keys);
// AuthorityStore::CommitAuthorities, which says the errors; the new revision.
absl::StatusOr<uint64_t> ApplyAuthorityChange(Database& database, const KeyEncryption& keys,
                                              const AuthorityChange& change);
// Verifies every bundle, old ones too. For Check.
absl::Status VerifyBundles(Database& database, const KeyEncryption& keys);

absl::StatusOr<std::string> SelectSetting(Database& database, absl::string_view name);
absl::Status UpsertSetting(Database& database, absl::string_view name, absl::string_view value);
// AuthorityStore's sealed settings, which says the errors.
absl::StatusOr<std::string> SelectSealedSetting(Database& database, const KeyEncryption& keys, absl::string_view name);
absl::Status UpsertSealedSetting(Database& database, const KeyEncryption& keys, absl::string_view name,
                                 absl::string_view value);
// Verifies every sealed setting. For Check.
absl::Status VerifySealedSettings(Database& database, const KeyEncryption& keys);

// The strings that CanonicalBytes::AddAll wrote. DataLoss: other bytes.
absl::StatusOr<std::vector<std::string>> UnpackStrings(absl::string_view bytes);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_SQLITE_AUTHORITY_ROWS_H_
