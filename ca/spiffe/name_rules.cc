#include "ca/spiffe/name_rules.h"

#include <cstddef>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace meshca {
namespace {

constexpr size_t kTrustDomainBytesMax = 255;
constexpr size_t kQuotedBytesMax = 100;

bool IsSegmentByte(char c) { return absl::ascii_isalnum(c) || c == '.' || c == '-' || c == '_'; }

std::string ByteName(char c) { return absl::StrCat("'", absl::CHexEscape(absl::string_view(&c, 1)), "'"); }

// People paste URLs: say which part of one does not belong here, beside naming the byte.
absl::string_view UriPartHint(char c) {
  switch (c) {
    case ':': return " (a port is not allowed)";
    case '@': return " (user information is not allowed)";
    case '?': return " (a query is not allowed)";
    case '#': return " (a fragment is not allowed)";
    case '%': return " (percent-encoding is not allowed)";
    default: return "";
  }
}

}  // namespace

std::string TrustDomainRuleBroken(absl::string_view name) {
  if (name.empty()) return "trust domain is empty";
  if (name.size() > kTrustDomainBytesMax) {
    return absl::StrCat("trust domain is longer than ", kTrustDomainBytesMax, " bytes");
  }
  for (char c : name) {
    if (!IsSegmentByte(c)) {
      return absl::StrCat("trust domain has a byte outside [a-z0-9.-_]: ", ByteName(c), UriPartHint(c));
    }
  }
  return "";
}

std::string PathRuleBroken(absl::string_view path) {
  if (path.empty()) return "";
  if (path.front() != '/') return "path does not begin with a slash";
  if (path.back() == '/') return "path ends with a slash";
  size_t segment = 1;
  for (size_t i = 1; i <= path.size(); ++i) {
    if (i == path.size() || path[i] == '/') {
      const absl::string_view text = path.substr(segment, i - segment);
      if (text.empty()) return "path has an empty segment";
      if (text == "." || text == "..") return "path has a dot segment";
      segment = i + 1;
    } else if (!IsSegmentByte(path[i])) {
      return absl::StrCat("path has a byte outside [a-zA-Z0-9.-_]: ", ByteName(path[i]), UriPartHint(path[i]));
    }
  }
  return "";
}

std::string QuoteForError(absl::string_view text) {
  const bool cut = text.size() > kQuotedBytesMax;
  return absl::StrCat("\"", absl::CHexEscape(text.substr(0, kQuotedBytesMax)), cut ? "...\"" : "\"");
}

}  // namespace meshca
