#include "ca/base/bare_text.h"

#include "absl/strings/match.h"

namespace meshca {
namespace {

constexpr absl::string_view kUtf8Mark = "\xEF\xBB\xBF";
constexpr absl::string_view kUtf16Marks[] = {"\xFF\xFE", "\xFE\xFF"};
// The straight ones of shells and JSON, and those that word processors put in their place.
constexpr absl::string_view kQuotes[] = {
    "\"",           "'",        "`",       "\xE2\x80\x98", "\xE2\x80\x99", "\xE2\x80\x9C", "\xE2\x80\x9D",
    "\xE2\x80\x9E", "\xC2\xAB", "\xC2\xBB"};

bool HasQuote(absl::string_view text) {
  for (const absl::string_view quote : kQuotes) {
    if (absl::StartsWith(text, quote) || absl::EndsWith(text, quote)) return true;
  }
  return false;
}

}  // namespace

absl::Status CheckBareText(absl::string_view text) {
  if (absl::StartsWith(text, kUtf8Mark)) {
    return absl::InvalidArgumentError(
        "it begins with a byte order mark (EF BB BF), which some editors write: save it as UTF-8 without BOM");
  }
  // Text of this kind is ASCII, so in UTF-16 every other byte is zero.
  if (absl::StartsWith(text, kUtf16Marks[0]) || absl::StartsWith(text, kUtf16Marks[1]) ||
      absl::StrContains(text.substr(0, 2), '\0')) {
    return absl::InvalidArgumentError("it is UTF-16, as PowerShell's > writes it: save it as UTF-8 without BOM");
  }
  if (HasQuote(text)) {
    return absl::InvalidArgumentError("quotation marks stand around it, which do not belong to it: remove them");
  }
  return absl::OkStatus();
}

}  // namespace meshca
