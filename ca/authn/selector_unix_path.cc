#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ca/authn/selector_kind.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

constexpr size_t kPathBytesMax = 4095;  // PATH_MAX without its NUL

// `unix:path:/usr/bin/envoy`: the executable of the process, as /proc/PID/exe shows it.
class UnixPath final : public SelectorKind {
 public:
  absl::string_view prefix() const override { return "unix:path:"; }
  absl::string_view form() const override { return "unix:path:/absolute/path"; }

  // /proc/PID/exe shows a path without these, so one that has them would fit no process, silently.
  std::string ValueFault(absl::string_view path) const override {
    if (path.empty() || path[0] != '/') return "the path is not absolute";
    if (path.size() > kPathBytesMax) return "the path is longer than 4095 bytes";
    if (path.find('\0') != absl::string_view::npos) return "the path holds a NUL byte";
    if (path.size() == 1 || path.back() == '/') return "the path ends in a slash";
    const std::string closed = absl::StrCat(path, "/");
    if (absl::StrContains(closed, "//")) return "the path has two slashes in a row";
    if (absl::StrContains(closed, "/./") || absl::StrContains(closed, "/../")) return "the path has a dot segment";
    return "";
  }

  absl::StatusOr<std::vector<std::string>> ValuesOf(ProcessFacts& process) const override {
    MESHCA_ASSIGN_OR_RETURN(std::string path, process.Executable());
    return std::vector<std::string>{std::move(path)};
  }
};

}  // namespace

const SelectorKind& UnixPathSelector() {
  static const UnixPath kind;
  return kind;
}

}  // namespace meshca
