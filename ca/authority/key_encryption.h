// Encrypts the private keys in the database, and computes the MACs of rows that grant trust so that they cannot be
// forged.
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
// Immutable, thread-safe. The pages that hold the keys are locked into memory if the process's limits allow it.
class KeyEncryption {
 public:
  // Reads the key from the file. With `create`, makes a file that is missing (mode 0600, fsynced with its folder).
  // Errors name the file: NotFound, PermissionDenied (others can read it; the message has the chmod command),
  // InvalidArgument (wrong size).
  static absl::StatusOr<KeyEncryption> FromFile(const std::string& path, bool create);
  // The bytes of a new key, as the file has them. Internal: OpenSSL gives no random bytes.
  static absl::StatusOr<SecretBytes> MakeKey();
  // For tests and derived uses. `key` is 32 bytes.
  static absl::StatusOr<KeyEncryption> FromKey(SecretBytes key);

  // Encrypts with AES-256-GCM under a fresh nonce. Open needs the same `associated` data (authority, role, certificate
  // hash).
  absl::StatusOr<std::string> Seal(absl::string_view plaintext, absl::string_view associated) const;
  // Decrypts what Seal returned. DataLoss: another key-encryption key, other associated data, or changed bytes.
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
