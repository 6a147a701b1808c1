// Secrets that are text, such as tokens: what editors and shells leave around them by mistake.
#ifndef MESHCA_CA_BASE_BARE_TEXT_H_
#define MESHCA_CA_BASE_BARE_TEXT_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace meshca {

// InvalidArgument says what stands around `text` or how it is encoded, and how to take that away: a byte order mark of
// UTF-8 or UTF-16, UTF-16 without one, quotation marks. Never shows a byte of the text itself.
absl::Status CheckBareText(absl::string_view text);

}  // namespace meshca

#endif  // MESHCA_CA_BASE_BARE_TEXT_H_
