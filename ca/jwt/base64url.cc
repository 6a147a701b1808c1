#include "ca/jwt/base64url.h"

#include "absl/strings/escaping.h"

namespace meshca {

std::optional<std::string> Base64UrlDecode(absl::string_view text) {
  std::string bytes;
  // Abseil's decoder takes padding, white space and stray bits at the end; encoding again finds all three.
  if (!absl::WebSafeBase64Unescape(text, &bytes) || absl::string_view(absl::WebSafeBase64Escape(bytes)) != text) {
    return std::nullopt;
  }
  return bytes;
}

}  // namespace meshca
