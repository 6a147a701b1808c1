#include "ca/identity/join_token_text.h"

#include <cstdint>
#include <utility>

#include <openssl/sha.h>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "ca/base/check.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

constexpr size_t kHashBytes = 32;
constexpr size_t kEncodedBytes = 43;  // of 32 bytes, without padding

absl::Status Malformed(absl::string_view fault) {
  return WithReason(absl::InvalidArgumentError(absl::StrCat("join token: ", fault, "; it is one word that begins with ",
                                                            kJoinTokenPrefix, ", as `meshca token create` prints it")),
                    "TOKEN_MALFORMED");
}

// Abseil's decoder takes padding, white space and stray low bits; a token has one spelling only, because its hash is
// what it is known by.
bool DecodeStrictly(absl::string_view text, std::string* bytes) {
  if (text.size() != kEncodedBytes || !absl::WebSafeBase64Unescape(text, bytes) || bytes->size() != kHashBytes) {
    return false;
  }
  std::string again = absl::WebSafeBase64Escape(*bytes);
  const bool same = text == absl::string_view(again);
  Wipe(again);
  return same;
}

}  // namespace

SecretBytes MakeJoinToken(absl::string_view root_spki_sha256, EntropySource& entropy) {
  MESHCA_CHECK(root_spki_sha256.size() == kHashBytes);
  std::string random(kHashBytes, '\0');
  entropy.Fill({reinterpret_cast<uint8_t*>(random.data()), random.size()});
  std::string secret = absl::WebSafeBase64Escape(random);
  std::string text = absl::StrCat(kJoinTokenPrefix, secret, ".", absl::WebSafeBase64Escape(root_spki_sha256));
  Wipe(random);
  Wipe(secret);
  return SecretBytes(std::move(text));
}

absl::StatusOr<JoinTokenText> ParseJoinToken(absl::string_view text) {
  if (!absl::ConsumePrefix(&text, kJoinTokenPrefix)) {
    return Malformed(LooksLikeJoinToken(text) ? "it is of a version that this meshca does not know"
                                              : "it does not begin as one");
  }
  const size_t dot = text.find('.');
  if (dot == absl::string_view::npos) return Malformed("it ends too early");
  std::string secret;
  const bool secret_good = DecodeStrictly(text.substr(0, dot), &secret);
  Wipe(secret);
  if (!secret_good) return Malformed("its first part is not 43 characters of base64url");
  JoinTokenText parts;
  if (!DecodeStrictly(text.substr(dot + 1), &parts.root_spki_sha256)) {
    return Malformed("its last part is not 43 characters of base64url");
  }
  return parts;
}

bool LooksLikeJoinToken(absl::string_view text) { return absl::StartsWith(text, "meshca-jt"); }

std::string JoinTokenSha256(absl::string_view text) {
  std::string hash(kHashBytes, '\0');
  SHA256(reinterpret_cast<const uint8_t*>(text.data()), text.size(), reinterpret_cast<uint8_t*>(hash.data()));
  return hash;
}

std::string JoinTokenId(absl::string_view secret_sha256) { return absl::BytesToHexString(secret_sha256.substr(0, 8)); }

}  // namespace meshca
