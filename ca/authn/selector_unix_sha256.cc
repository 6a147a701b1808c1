#include <algorithm>

#include "absl/strings/ascii.h"
#include "ca/authn/selector_kind.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

constexpr size_t kHexDigits = 64;

// `unix:sha256:9f86...`: what is in the executable of the process, wherever it lies. Of a script that is its
// interpreter.
class UnixSha256 final : public SelectorKind {
 public:
  absl::string_view prefix() const override { return "unix:sha256:"; }
  absl::string_view form() const override { return "unix:sha256:HEX"; }

  std::string ValueFault(absl::string_view value) const override {
    const auto lower_hex = [](char c) { return absl::ascii_isdigit(c) || (c >= 'a' && c <= 'f'); };
    if (value.size() == kHexDigits && std::all_of(value.begin(), value.end(), lower_hex)) return "";
    return "expects the 64 lower-case hex digits that sha256sum prints";
  }

  absl::StatusOr<std::vector<std::string>> ValuesOf(ProcessFacts& process) const override {
    MESHCA_ASSIGN_OR_RETURN(std::string digest, process.ExecutableSha256());
    return std::vector<std::string>{std::move(digest)};
  }
};

}  // namespace

const SelectorKind& UnixSha256Selector() {
  static const UnixSha256 kind;
  return kind;
}

}  // namespace meshca
