// The rules of the CA's own settings: a sealed setting, which grants a right, is stored with a MAC.
#ifndef MESHCA_STORAGE_SETTING_RULES_H_
#define MESHCA_STORAGE_SETTING_RULES_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/authority/key_encryption.h"
#include "storage/tables.h"

namespace meshca::storage {

// See AuthorityStore for these calls and their errors. They run inside a transaction of the caller.
absl::StatusOr<std::string> GetSetting(Tables& tables, absl::string_view name);
absl::Status PutSetting(Tables& tables, absl::string_view name, absl::string_view value);
absl::StatusOr<std::string> GetSealedSetting(Tables& tables, const KeyEncryption& keys, absl::string_view name);
absl::Status PutSealedSetting(Tables& tables, const KeyEncryption& keys, absl::string_view name,
                              absl::string_view value);
// Verifies the MAC of every sealed setting. For CheckStored.
absl::Status VerifySealedSettings(Tables& tables, const KeyEncryption& keys);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_SETTING_RULES_H_
