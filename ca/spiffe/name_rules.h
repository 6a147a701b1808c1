// The character rules that trust domains and SPIFFE IDs share (SPIFFE-ID §2.1, §2.2). For ca/spiffe alone.
#ifndef MESHCA_CA_SPIFFE_NAME_RULES_H_
#define MESHCA_CA_SPIFFE_NAME_RULES_H_

#include <string>

#include "absl/strings/string_view.h"

namespace meshca {

inline constexpr absl::string_view kSpiffeScheme = "spiffe://";

// Which rule `name` breaks as a trust domain name, or "". Upper-case letters pass: they are stored lower-case.
std::string TrustDomainRuleBroken(absl::string_view name);
// Which rule `path` breaks, or "". A path that is not empty begins with '/'.
std::string PathRuleBroken(absl::string_view path);

// `text` in double quotes for an error message: control and non-ASCII bytes escaped, cut after 100 bytes.
std::string QuoteForError(absl::string_view text);

}  // namespace meshca

#endif  // MESHCA_CA_SPIFFE_NAME_RULES_H_
