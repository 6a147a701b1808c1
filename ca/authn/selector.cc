#include "ca/authn/selector.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

constexpr size_t kSelectorsMax = 16;
constexpr size_t kPathBytesMax = 4095;  // PATH_MAX without its NUL

absl::Status Invalid(absl::string_view text, absl::string_view fault) {
  return WithReason(
      absl::InvalidArgumentError(absl::StrCat("selector \"", absl::CHexEscape(text.substr(0, 100)), "\": ", fault)),
      "SELECTOR_INVALID");
}

// Decimal digits alone: "+5", " 5" and "05" would be second spellings of one selector.
bool ParseNumber(absl::string_view text, uint32_t* number) {
  return !text.empty() && std::all_of(text.begin(), text.end(), absl::ascii_isdigit) &&
         (text.size() == 1 || text[0] != '0') && absl::SimpleAtoi(text, number);
}

// /proc/PID/exe shows a path without these, so one that has them would fit no process, silently.
absl::string_view PathFault(absl::string_view path) {
  if (path.empty() || path[0] != '/') return "the path is not absolute";
  if (path.size() > kPathBytesMax) return "the path is longer than 4095 bytes";
  if (path.find('\0') != absl::string_view::npos) return "the path holds a NUL byte";
  if (path.size() == 1 || path.back() == '/') return "the path ends in a slash";
  const std::string closed = absl::StrCat(path, "/");
  if (absl::StrContains(closed, "//")) return "the path has two slashes in a row";
  if (absl::StrContains(closed, "/./") || absl::StrContains(closed, "/../")) return "the path has a dot segment";
  return "";
}

}  // namespace

absl::StatusOr<Selector> Selector::Parse(absl::string_view text) {
  Selector selector;
  absl::string_view rest = text;
  if (absl::ConsumePrefix(&rest, "unix:uid:") || absl::ConsumePrefix(&rest, "unix:gid:")) {
    selector.kind = absl::StartsWith(text, "unix:uid:") ? SelectorKind::kUnixUid : SelectorKind::kUnixGid;
    if (!ParseNumber(rest, &selector.number)) return Invalid(text, "expects a number from 0 to 4294967295");
    return selector;
  }
  if (absl::ConsumePrefix(&rest, "unix:path:")) {
    if (absl::string_view fault = PathFault(rest); !fault.empty()) return Invalid(text, fault);
    selector.kind = SelectorKind::kUnixPath;
    selector.path = std::string(rest);
    return selector;
  }
  return Invalid(text, "expects unix:uid:N, unix:gid:N or unix:path:/absolute/path");
}

std::string Selector::ToString() const {
  switch (kind) {
    case SelectorKind::kUnixUid: return absl::StrCat("unix:uid:", number);
    case SelectorKind::kUnixGid: return absl::StrCat("unix:gid:", number);
    case SelectorKind::kUnixPath: return absl::StrCat("unix:path:", path);
  }
  return "";
}

absl::StatusOr<std::vector<std::string>> NormaliseSelectors(const std::vector<std::string>& selectors) {
  if (selectors.empty()) {
    return WithReason(
        absl::InvalidArgumentError("an entry without a selector would fit everybody; give one, such as unix:uid:1000"),
        "SELECTOR_INVALID");
  }
  if (selectors.size() > kSelectorsMax) {
    return WithReason(
        absl::InvalidArgumentError(absl::StrCat(selectors.size(), " selectors; the most is ", kSelectorsMax)),
        "SELECTOR_INVALID");
  }
  std::vector<std::string> normal;
  for (const std::string& text : selectors) {
    MESHCA_ASSIGN_OR_RETURN(Selector selector, Selector::Parse(text));
    normal.push_back(selector.ToString());
  }
  std::sort(normal.begin(), normal.end());
  normal.erase(std::unique(normal.begin(), normal.end()), normal.end());
  return normal;
}

}  // namespace meshca
