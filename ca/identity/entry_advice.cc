#include "ca/identity/entry_advice.h"

#include "absl/strings/str_cat.h"

namespace meshca {

std::string EntryAdvice::Command(absl::string_view spiffe_id, absl::string_view selector) const {
  return absl::StrCat("meshca entry create ", spiffe_id, " --selector ", selector, node.empty() ? "" : " --node ",
                      node);
}

std::string EntryAdvice::Say(absl::string_view verb, absl::string_view spiffe_id, absl::string_view selector) const {
  return absl::StrCat(verb, node.empty() ? ": " : ", on the CA's host: ", Command(spiffe_id, selector));
}

std::string UidSelector(uint32_t uid) { return absl::StrCat("unix:uid:", uid); }

}  // namespace meshca
