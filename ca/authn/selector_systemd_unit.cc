#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "ca/authn/selector_kind.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

constexpr size_t kUnitBytesMax = 255;

// `systemd:unit:web.service`: the unit of the system that the process runs in. No user can start a process in one of
// these, nor move one there.
class SystemdUnit final : public SelectorKind {
 public:
  absl::string_view prefix() const override { return "systemd:unit:"; }
  absl::string_view form() const override { return "systemd:unit:NAME.service"; }

  std::string ValueFault(absl::string_view value) const override {
    const auto allowed = [](char c) { return absl::ascii_isalnum(c) || absl::StrContains(":-_.\\@", c); };
    if (value.empty() || value.size() > kUnitBytesMax || !std::all_of(value.begin(), value.end(), allowed)) {
      return "expects the name of a unit, 1-255 letters, digits and :-_.\\@";
    }
    for (const absl::string_view type : {".service", ".scope", ".socket", ".mount", ".swap"}) {
      if (absl::EndsWith(value, type) && value.size() > type.size()) return "";
    }
    return "expects the whole name of a unit that has processes, such as web.service or session-1.scope";
  }

  absl::StatusOr<std::vector<std::string>> ValuesOf(ProcessFacts& process) const override {
    MESHCA_ASSIGN_OR_RETURN(std::string unit, process.SystemdUnit());
    if (unit.empty()) return std::vector<std::string>();
    return std::vector<std::string>{std::move(unit)};
  }
};

}  // namespace

const SelectorKind& SystemdUnitSelector() {
  static const SystemdUnit kind;
  return kind;
}

}  // namespace meshca
