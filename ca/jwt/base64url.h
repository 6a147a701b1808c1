// base64url as JOSE writes it (RFC 7515 §2): no padding, no white space, one spelling for each value.
#ifndef MESHCA_CA_JWT_BASE64URL_H_
#define MESHCA_CA_JWT_BASE64URL_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace meshca {

// Nothing when `text` is not exactly what an encoder makes: a token with a second spelling would pass by a cache or a
// list of used ones as a new token.
std::optional<std::string> Base64UrlDecode(absl::string_view text);

}  // namespace meshca

#endif  // MESHCA_CA_JWT_BASE64URL_H_
