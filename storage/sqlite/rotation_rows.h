// Root rotations as rows, each with a MAC: whoever can write the file cannot move one a step on.
#ifndef MESHCA_STORAGE_SQLITE_ROTATION_ROWS_H_
#define MESHCA_STORAGE_SQLITE_ROTATION_ROWS_H_

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ca/authority/key_encryption.h"
#include "ca/authority/root_rotation.h"
#include "storage/sqlite/database.h"

namespace meshca::storage {

// Inside a transaction of the caller, all of them. DataLoss: the MAC does not fit.
// Nothing: there never was one.
absl::StatusOr<std::optional<RootRotation>> SelectNewestRotation(Database& database, const KeyEncryption& keys);
// Inserts, or replaces the row of the same number. FailedPrecondition: another one has not ended, or a new one's number
// is not above every earlier one.
absl::Status UpsertRotation(Database& database, const KeyEncryption& keys, const RootRotation& rotation);
// Ok where there is none.
absl::Status DeleteRotation(Database& database, uint64_t number);
// Verifies every rotation, ended ones too. For Check.
absl::Status VerifyRotations(Database& database, const KeyEncryption& keys);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_SQLITE_ROTATION_ROWS_H_
