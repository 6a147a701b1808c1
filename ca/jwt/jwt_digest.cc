#include "ca/jwt/jwt_digest.h"

#include <cstddef>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace meshca {

// A text without a dot, which is no token, has a name all the same: its rest is empty, where that of any other text
// begins with a dot.
JwtDigest JwtDigest::Of(absl::string_view token) {
  const void* const found = token.empty() ? nullptr : memrchr(token.data(), '.', token.size());
  const size_t dot = found == nullptr ? token.size() : static_cast<const char*>(found) - token.data();
  JwtDigest digest;
  digest.signing_input = Hash(HashType::kSha256, token.substr(0, dot));
  digest.token = Sha256(absl::StrCat(digest.signing_input.view(), token.substr(dot)));
  return digest;
}

}  // namespace meshca
