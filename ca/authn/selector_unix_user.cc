#include "ca/authn/selector_kind.h"
#include "ca/authn/selector_values.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

// `unix:user:web`: the name that this host has for the user of the process. Of a number with several names the first
// that the host's name service gives counts.
class UnixUser final : public SelectorKind {
 public:
  absl::string_view prefix() const override { return "unix:user:"; }
  absl::string_view form() const override { return "unix:user:NAME"; }
  std::string ValueFault(absl::string_view value) const override { return NameFault(value); }

  absl::StatusOr<std::vector<std::string>> ValuesOf(ProcessFacts& process) const override {
    MESHCA_ASSIGN_OR_RETURN(std::string name, process.UserName());
    return std::vector<std::string>{std::move(name)};
  }
};

}  // namespace

const SelectorKind& UnixUserSelector() {
  static const UnixUser kind;
  return kind;
}

}  // namespace meshca
