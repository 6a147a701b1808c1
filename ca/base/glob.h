// The patterns in which operators name many things at once.
#ifndef MESHCA_CA_BASE_GLOB_H_
#define MESHCA_CA_BASE_GLOB_H_

#include "absl/strings/string_view.h"

namespace meshca {

// Does the whole of `text` fit `pattern`? `*` stands for any run of bytes, `?` for any one, everything else for itself.
// Linear memory, and time bounded by the product of the two lengths.
bool GlobMatches(absl::string_view pattern, absl::string_view text);

}  // namespace meshca

#endif  // MESHCA_CA_BASE_GLOB_H_
