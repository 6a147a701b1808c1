// Text from elsewhere, on its way to a terminal.
#ifndef MESHCA_CLI_PRINTABLE_H_
#define MESHCA_CLI_PRINTABLE_H_

#include <string>

#include "absl/strings/string_view.h"

namespace meshca::cli {

// `text` with each control byte as `?`, so that a name from elsewhere cannot move the cursor.
inline std::string Printable(absl::string_view text) {
  std::string shown(text);
  for (char& c : shown) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return shown;
}

}  // namespace meshca::cli

#endif  // MESHCA_CLI_PRINTABLE_H_
