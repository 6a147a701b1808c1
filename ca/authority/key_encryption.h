// Keeps private keys encrypted at rest and trust rows unforgeable.
#ifndef MESHCA_CA_AUTHORITY_KEY_ENCRYPTION_H_
#define MESHCA_CA_AUTHORITY_KEY_ENCRYPTION_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/base/secret.h"

namespace meshca {

// Holds the key-encryption key: 32 random bytes from a 0600 file outside the database and its backups. Two keys are
// derived from it by HKDF-SHA-256 (RFC 5869), one to seal and one for row MACs, so neither use weakens the other.
// Immutable, thread-safe. Pages that hold the key are locked into memory where the limits allow.
class KeyEncryption {
 public:
  // Reads the file, or with `create` makes it (0600, fsynced with its folder) when it is not there.
  // Errors name the file: NotFound, PermissionDenied (others can read it: says the chmod), InvalidArgument (wrong
  // size).
  static absl::StatusOr<KeyEncryption> FromFile(const std::string& path, bool create);
  // For tests and derived uses. `key` is 32 bytes.
  static absl::StatusOr<KeyEncryption> FromKey(SecretBytes key);

  // AES-256-GCM under a fresh nonce; `associated` (authority, role, certificate hash) must be the same to open.
  absl::StatusOr<std::string> Seal(absl::string_view plaintext, absl::string_view associated) const;
  // DataLoss: another key-encryption key, other associated data, or changed bytes.
  absl::StatusOr<SecretBytes> Open(absl::string_view sealed, absl::string_view associated) const;

  // HMAC-SHA-256 (32 bytes) over `table` and `row`, for rows that grant trust.
  std::string RowMac(absl::string_view table, absl::string_view row) const;

 private:
  KeyEncryption(SecretBytes seal_key, SecretBytes mac_key);
  SecretBytes seal_key_;
  SecretBytes mac_key_;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_KEY_ENCRYPTION_H_
