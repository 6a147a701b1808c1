#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "ca/authn/selector_kind.h"
#include "ca/authn/selector_values.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

// `unix:gid:1000`: a group of the process, the supplementary ones too.
class UnixGid final : public SelectorKind {
 public:
  absl::string_view prefix() const override { return "unix:gid:"; }
  absl::string_view form() const override { return "unix:gid:N"; }
  std::string ValueFault(absl::string_view value) const override { return NumberFault(value); }

  std::string WhyFitsNobody(absl::string_view value, const OverflowIds& overflow) const override {
    uint32_t gid = 0;
    return absl::SimpleAtoi(value, &gid) ? overflow.GidFault(gid) : "";
  }

  absl::StatusOr<std::vector<std::string>> ValuesOf(ProcessFacts& process) const override {
    MESHCA_ASSIGN_OR_RETURN(const std::vector<uint32_t> groups, process.Groups());
    std::vector<std::string> values;
    values.reserve(groups.size());
    for (const uint32_t group : groups) values.push_back(absl::StrCat(group));
    return values;
  }
};

}  // namespace

const SelectorKind& UnixGidSelector() {
  static const UnixGid kind;
  return kind;
}

}  // namespace meshca
