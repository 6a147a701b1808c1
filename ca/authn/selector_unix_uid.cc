#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "ca/authn/selector_kind.h"
#include "ca/authn/selector_values.h"

namespace meshca {
namespace {

// `unix:uid:1000`: the user that the process had when it connected, as the kernel says.
class UnixUid final : public SelectorKind {
 public:
  absl::string_view prefix() const override { return "unix:uid:"; }
  absl::string_view form() const override { return "unix:uid:N"; }
  std::string ValueFault(absl::string_view value) const override { return NumberFault(value); }

  std::string WhyFitsNobody(absl::string_view value, const OverflowIds& overflow) const override {
    uint32_t uid = 0;
    return absl::SimpleAtoi(value, &uid) ? overflow.UidFault(uid) : "";
  }

  absl::StatusOr<std::vector<std::string>> ValuesOf(ProcessFacts& process) const override {
    return std::vector<std::string>{absl::StrCat(process.uid())};
  }
};

}  // namespace

const SelectorKind& UnixUidSelector() {
  static const UnixUid kind;
  return kind;
}

}  // namespace meshca
