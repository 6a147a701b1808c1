// The text of a join token: a secret, and the fingerprint of the root its holder may believe.
#ifndef MESHCA_CA_IDENTITY_JOIN_TOKEN_TEXT_H_
#define MESHCA_CA_IDENTITY_JOIN_TOKEN_TEXT_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/base/entropy.h"
#include "ca/base/secret.h"

namespace meshca {

// `meshca-jt1.<secret>.<root>`: 32 random bytes and the 32-byte SHA-256 of the root's SubjectPublicKeyInfo, each 43
// characters of base64url without padding (RFC 4648 §5). Contains nothing a shell or a header would change.
inline constexpr absl::string_view kJoinTokenPrefix = "meshca-jt1.";

// `root_spki_sha256` is 32 raw bytes.
SecretBytes MakeJoinToken(absl::string_view root_spki_sha256, EntropySource& entropy);

struct JoinTokenText {
  std::string root_spki_sha256;  // 32 raw bytes: a client trusts the server whose chain ends in this key
};

// InvalidArgument (reason TOKEN_MALFORMED): not of that form; says so without quoting the token.
absl::StatusOr<JoinTokenText> ParseJoinToken(absl::string_view text);

// Does the text claim to be a join token, of whatever version and shape?
bool LooksLikeJoinToken(absl::string_view text);

// JoinToken::secret_sha256: SHA-256 of the whole text, 32 raw bytes.
std::string JoinTokenSha256(absl::string_view text);
// JoinToken::id: lower-case hex of that hash's first 8 bytes.
std::string JoinTokenId(absl::string_view secret_sha256);

}  // namespace meshca

#endif  // MESHCA_CA_IDENTITY_JOIN_TOKEN_TEXT_H_
