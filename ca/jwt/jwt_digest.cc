#include "ca/jwt/jwt_digest.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace meshca {

// A text without a dot, which is no token, has a name all the same: its rest is empty, where that of any other text
// begins with a dot.
JwtDigest JwtDigest::Of(absl::string_view token) {
  const size_t dot = std::min(token.rfind('.'), token.size());
  JwtDigest digest;
  digest.signing_input = Hash(HashType::kSha256, token.substr(0, dot));
  digest.token = Sha256(absl::StrCat(digest.signing_input.view(), token.substr(dot)));
  return digest;
}

}  // namespace meshca
