#include "ca/base/printable.h"

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace meshca {
namespace {

bool Within(char32_t character, char32_t first, char32_t last) { return character >= first && character <= last; }

// How many bytes a character has that begins with `lead`; 0: none begins so. 0xc0, 0xc1 and what lies above 0xf4 would
// begin overlong forms and characters that do not exist.
size_t BytesOf(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (Within(lead, 0xc2, 0xdf)) return 2;
  if (Within(lead, 0xe0, 0xef)) return 3;
  if (Within(lead, 0xf0, 0xf4)) return 4;
  return 0;
}

// `text` with each character that may not be shown as `escape` makes it, and each byte that is no UTF-8 behind
// `byte_prefix`. `also` are further ASCII characters for `escape`; `keep` is one that stays as it is.
std::string Escaped(absl::string_view text, absl::string_view also, char keep, absl::string_view byte_prefix,
                    absl::FunctionRef<std::string(char32_t)> escape) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const CodePoint first = FirstCodePoint(text);
    const bool kept = keep != '\0' && text.front() == keep;
    if (!first.valid) {
      absl::StrAppendFormat(&out, "%s%02x", byte_prefix, static_cast<unsigned char>(text.front()));
    } else if (!kept && (!MayBeShown(first.value) || also.find(text.front()) != absl::string_view::npos)) {
      out += escape(first.value);
    } else {
      absl::StrAppend(&out, text.substr(0, first.bytes));
    }
    text.remove_prefix(first.bytes);
  }
  return out;
}

// As people read it.
std::string EscapeForPeople(char32_t character) {
  switch (character) {
    case '\n': return "\\n";
    case '\r': return "\\r";
    case '\t': return "\\t";
    case '\\': return "\\\\";
    case '"': return "\\\"";
    default: return absl::StrFormat("\\u{%x}", static_cast<uint32_t>(character));
  }
}

// As JSON has it. Every character that may not be shown has at most four digits.
std::string EscapeForJson(char32_t character) {
  switch (character) {
    case '\n':
    case '\r':
    case '\t':
    case '\\':
    case '"': return EscapeForPeople(character);
    default: return absl::StrFormat("\\u%04x", static_cast<uint32_t>(character));
  }
}

}  // namespace

CodePoint FirstCodePoint(absl::string_view text) {
  const unsigned char lead = static_cast<unsigned char>(text.front());
  const size_t bytes = BytesOf(lead);
  if (bytes == 0 || bytes > text.size()) return {};
  char32_t value = bytes == 1 ? lead : lead & (0x7f >> bytes);
  for (size_t i = 1; i < bytes; ++i) {
    const unsigned char next = static_cast<unsigned char>(text[i]);
    if ((next & 0xc0) != 0x80) return {};
    value = value << 6 | (next & 0x3f);
  }
  const bool overlong = (bytes == 3 && value < 0x800) || (bytes == 4 && value < 0x10000);
  if (overlong || Within(value, 0xd800, 0xdfff) || value > 0x10ffff) return {};
  return {value, bytes, true};
}

bool MayBeShown(char32_t character) {
  if (character < 0x20 || Within(character, 0x7f, 0x9f)) return false;
  if (character == 0x61c || Within(character, 0x200e, 0x200f)) return false;
  // What has no width makes two names look alike.
  if (character == 0xad || Within(character, 0x200b, 0x200d) || character == 0xfeff) return false;
  return !Within(character, 0x2028, 0x202e) && !Within(character, 0x2060, 0x206f);
}

std::string Printable(absl::string_view text) { return Escaped(text, "", '\0', "\\x", EscapeForPeople); }

std::string PrintableLines(absl::string_view text) { return Escaped(text, "", '\n', "\\x", EscapeForPeople); }

std::string PrintableQuoted(absl::string_view text) { return Escaped(text, "\\\"", '\0', "\\x", EscapeForPeople); }

std::string JsonString(absl::string_view text) {
  return absl::StrCat("\"", Escaped(text, "\\\"", '\0', "\\\\x", EscapeForJson), "\"");
}

}  // namespace meshca
