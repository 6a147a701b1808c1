#include "ca/service/check_legacy_rights.h"

#include "absl/strings/str_cat.h"
#include "ca/authn/overflow_ids.h"
#include "ca/identity/entry_advice.h"

namespace meshca {

std::string LegacyRightAdvice(const LegacyRight& right) {
  if (OverflowIds::OfKernel().UidFault(right.uid).empty()) {
    return EntryAdvice().Command(right.spiffe_id, UidSelector(right.uid));
  }
  return absl::StrCat("run ", right.spiffe_id, " as a user of its own instead of uid ", right.uid,
                      ", and make an entry for that");
}

std::vector<CheckedFact> LegacyRightsFacts(const LegacyRights& rights) {
  constexpr char kName[] = "API socket rights";
  if (rights.count == 0) {
    return {{kName, CheckedFact::State::kOk, "no identity depends on being the server's own user", ""}};
  }
  std::vector<CheckedFact> facts;
  for (const LegacyRight& right : rights.shown) {
    facts.push_back({kName, CheckedFact::State::kWarning,
                     absl::StrCat(right.spiffe_id, ": its certificate went to uid ", right.uid,
                                  " as the server's own user, who holds nothing on the API socket any more"),
                     LegacyRightAdvice(right)});
  }
  if (rights.count > rights.shown.size() || !rights.counted_all) {
    facts.push_back({kName, CheckedFact::State::kWarning,
                     absl::StrCat(rights.counted_all ? "" : "more than ", rights.count - rights.shown.size(),
                                  " more identities like these"),
                     "make these entries, then: meshca check"});
  }
  return facts;
}

}  // namespace meshca
