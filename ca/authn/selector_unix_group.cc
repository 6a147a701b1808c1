#include "ca/authn/selector_kind.h"
#include "ca/authn/selector_values.h"

namespace meshca {
namespace {

// `unix:group:web`: the name that this host has for a group of the process, the supplementary ones too.
class UnixGroup final : public SelectorKind {
 public:
  absl::string_view prefix() const override { return "unix:group:"; }
  absl::string_view form() const override { return "unix:group:NAME"; }
  std::string ValueFault(absl::string_view value) const override { return NameFault(value); }
  absl::StatusOr<std::vector<std::string>> ValuesOf(ProcessFacts& process) const override {
    return process.GroupNames();
  }
};

}  // namespace

const SelectorKind& UnixGroupSelector() {
  static const UnixGroup kind;
  return kind;
}

}  // namespace meshca
