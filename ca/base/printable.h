// What may be shown of text from elsewhere: names in the database, a server's errors, files, log fields.
//
// A terminal obeys control characters, and characters that change the direction of text make one name look like
// another. One judgement serves every way out (tables, errors, progress, JSON and YAML, the log), so none forgets a
// character.
#ifndef MESHCA_CA_BASE_PRINTABLE_H_
#define MESHCA_CA_BASE_PRINTABLE_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace meshca {

// The first character of a text that is not empty. Bytes that are no UTF-8 (RFC 3629: overlong forms, surrogates and
// what lies above U+10FFFF are none) come one at a time, not valid.
struct CodePoint {
  char32_t value = 0;
  size_t bytes = 1;
  bool valid = false;
};
CodePoint FirstCodePoint(absl::string_view text);

// False: control characters (U+0000-001F, 007F-009F), those that order text from right to left or back (U+061C,
// 200E, 200F, 202A-202E, 2066-2069, and the retired 206A-206F), those that end a line (U+2028, 2029), and those without
// a width (U+00AD, 200B-200D, 2060-2065, FEFF).
bool MayBeShown(char32_t character);

// `text` on one line: what may not be shown as `\n`, `\r`, `\t` or `\u{9b}`, a byte that is no UTF-8 as `\xff`.
std::string Printable(absl::string_view text);
// The same for a text of several lines: newlines stay.
std::string PrintableLines(absl::string_view text);
// Printable, with `\` and `"` behind a backslash: for text that stands in quotes.
std::string PrintableQuoted(absl::string_view text);

// `text` as a JSON string (RFC 8259 §7), quotes included; YAML reads it too. What may not be shown is `\u009b`; a byte
// that is no UTF-8 becomes the four characters \xff, for no JSON string can hold it.
std::string JsonString(absl::string_view text);

}  // namespace meshca

#endif  // MESHCA_CA_BASE_PRINTABLE_H_
