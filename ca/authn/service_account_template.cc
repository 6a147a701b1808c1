#include "ca/authn/service_account_template.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

constexpr absl::string_view kNamespace = "{namespace}";
constexpr absl::string_view kServiceAccount = "{service_account}";
constexpr absl::string_view kNamespaceClaim = "namespace";

// Whether a '/' stands between any two neighbours of different names. Without one "a-b" and "c" could be "a" and "b-c".
bool HasNamesApart(absl::string_view text) {
  std::vector<std::pair<size_t, absl::string_view>> names;  // by their place
  for (const absl::string_view name : {kNamespace, kServiceAccount}) {
    for (size_t at = text.find(name); at != absl::string_view::npos; at = text.find(name, at + 1)) {
      names.emplace_back(at, name);
    }
  }
  std::sort(names.begin(), names.end());
  for (size_t i = 1; i < names.size(); ++i) {
    const size_t end = names[i - 1].first + names[i - 1].second.size();
    const bool apart = absl::StrContains(text.substr(end, names[i].first - end), "/");
    if (!apart && names[i].second != names[i - 1].second) return false;
  }
  return true;
}

// Sets `name` to what stands in `given` where the segment `wanted` of a template has `placeholder`, if it has it.
void ReadName(absl::string_view wanted, absl::string_view placeholder, absl::string_view given, std::string& name) {
  const size_t at = wanted.find(placeholder);
  if (at == absl::string_view::npos) return;
  const absl::string_view rest = wanted.substr(at + placeholder.size());
  if (given.size() < at + rest.size()) return;
  name = std::string(given.substr(at, given.size() - at - rest.size()));
}

absl::Status InvalidTemplate(absl::string_view text, absl::string_view fault) {
  return WithReason(
      absl::InvalidArgumentError(absl::StrCat("template \"", absl::CHexEscape(text.substr(0, 200)), "\": ", fault,
                                              "; such as ", ServiceAccountTemplate::kDefault)),
      "TEMPLATE_INVALID");
}

}  // namespace

absl::StatusOr<ServiceAccountTemplate> ServiceAccountTemplate::Parse(absl::string_view text,
                                                                     const TrustDomain& trust_domain) {
  if (absl::StrContains(text, "{claims.")) return InvalidTemplate(text, "it has no claims to name");
  for (const absl::string_view name : {kNamespace, kServiceAccount}) {
    if (!absl::StrContains(text, name)) {
      return InvalidTemplate(text, absl::StrCat(name, " is missing: accounts of other names would share the identity"));
    }
  }
  if (!HasNamesApart(text)) {
    return InvalidTemplate(text,
                           "there has to be a / between {namespace} and {service_account}: accounts whose names "
                           "are the same when written together would share the identity");
  }
  ServiceAccountTemplate made;
  made.text_ = std::string(text);
  const std::string claims = absl::StrReplaceAll(text, {{kNamespace, absl::StrCat("{claims.", kNamespaceClaim, "}")},
                                                        {kServiceAccount, "{claims.service_account}"}});
  MESHCA_ASSIGN_OR_RETURN(made.claims_, ClaimTemplate::Parse(claims, trust_domain));
  return made;
}

absl::StatusOr<SpiffeId> ServiceAccountTemplate::IdOf(const AccountName& account) const {
  // Parse lets no other name in.
  return claims_.ExpandBy([&account](const std::vector<std::string>& names) -> ClaimTemplate::FoundClaim {
    return {true, names.front() == kNamespaceClaim ? account.namespace_name : account.account};
  });
}

std::optional<AccountName> ServiceAccountTemplate::AccountOf(const SpiffeId& id) const {
  const std::vector<std::string> wanted = absl::StrSplit(text_, '/');
  const std::vector<std::string> given = absl::StrSplit(id.uri(), '/');
  if (wanted.size() != given.size()) return std::nullopt;
  AccountName account;
  for (size_t i = 0; i < wanted.size(); ++i) {
    ReadName(wanted[i], kNamespace, given[i], account.namespace_name);
    ReadName(wanted[i], kServiceAccount, given[i], account.account);
  }
  // What was read is right where it leads back to the ID.
  const absl::StatusOr<SpiffeId> back = IdOf(account);
  return back.ok() && *back == id ? std::optional<AccountName>(std::move(account)) : std::nullopt;
}

}  // namespace meshca
