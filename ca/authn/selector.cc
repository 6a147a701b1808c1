#include "ca/authn/selector.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "ca/authn/selector_kind.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

constexpr size_t kSelectorsMax = 16;

absl::Status Invalid(absl::string_view text, absl::string_view fault) {
  return WithReason(
      absl::InvalidArgumentError(absl::StrCat("selector \"", absl::CHexEscape(text.substr(0, 100)), "\": ", fault)),
      "SELECTOR_INVALID");
}

std::string FormsOfSelectors() {
  const auto form = [](std::string* out, const SelectorKind* kind) { absl::StrAppend(out, kind->form()); };
  const absl::Span<const SelectorKind* const> kinds = SelectorKinds();
  return absl::StrCat(absl::StrJoin(kinds.first(kinds.size() - 1), ", ", form), " or ", kinds.back()->form());
}

}  // namespace

absl::StatusOr<Selector> Selector::Parse(absl::string_view text) {
  for (const SelectorKind* kind : SelectorKinds()) {
    absl::string_view value = text;
    if (!absl::ConsumePrefix(&value, kind->prefix())) continue;
    if (const std::string fault = kind->ValueFault(value); !fault.empty()) return Invalid(text, fault);
    return Selector{kind, std::string(value)};
  }
  return Invalid(text, absl::StrCat("expects ", FormsOfSelectors()));
}

std::string Selector::ToString() const { return absl::StrCat(kind->prefix(), value); }

absl::Span<const SelectorKind* const> SelectorKinds() {
  // The ones that single out few processes and cost nothing to compare stand first.
  static const SelectorKind* const kinds[] = {&UnixUidSelector(),   &UnixUserSelector(),  &SystemdUnitSelector(),
                                              &UnixGidSelector(),   &UnixGroupSelector(), &UnixPathSelector(),
                                              &UnixSha256Selector()};
  return kinds;
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
