#include "ca/authn/service_account_template.h"

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "ca/base/status.h"
#include "ca/jwt/json.h"

namespace meshca {
namespace {

JsonMember TextMember(std::string name, const std::string& text) {
  JsonValue value;
  value.kind = JsonValue::Kind::kString;
  value.text = text;
  return {std::move(name), std::move(value)};
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
  for (const absl::string_view name : {"{namespace}", "{service_account}"}) {
    if (!absl::StrContains(text, name)) {
      return InvalidTemplate(text, absl::StrCat(name, " is missing: accounts of other names would share the identity"));
    }
  }
  ServiceAccountTemplate made;
  made.text_ = std::string(text);
  const std::string claims = absl::StrReplaceAll(
      text, {{"{namespace}", "{claims.namespace}"}, {"{service_account}", "{claims.service_account}"}});
  MESHCA_ASSIGN_OR_RETURN(made.claims_, ClaimTemplate::Parse(claims, trust_domain));
  return made;
}

absl::StatusOr<SpiffeId> ServiceAccountTemplate::IdOf(const AccountName& account) const {
  JsonValue names;
  names.kind = JsonValue::Kind::kObject;
  names.members.push_back(TextMember("namespace", account.namespace_name));
  names.members.push_back(TextMember("service_account", account.account));
  return claims_.Expand(names);
}

}  // namespace meshca
