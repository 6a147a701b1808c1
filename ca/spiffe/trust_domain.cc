#include "ca/spiffe/trust_domain.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/spiffe/name_rules.h"

namespace meshca {

absl::StatusOr<TrustDomain> TrustDomain::Parse(absl::string_view name) {
  if (std::string broken = TrustDomainRuleBroken(name); !broken.empty()) {
    return WithReason(absl::InvalidArgumentError(absl::StrCat("trust domain: ", broken, ": ", QuoteForError(name))),
                      "TRUST_DOMAIN_INVALID");
  }
  return TrustDomain(absl::AsciiStrToLower(name));
}

absl::StatusOr<TrustDomain> TrustDomain::ParseId(absl::string_view uri) {
  if (!absl::StartsWithIgnoreCase(uri, kSpiffeScheme)) {
    return WithReason(
        absl::InvalidArgumentError(absl::StrCat("trust domain ID: must begin with spiffe://: ", QuoteForError(uri))),
        "TRUST_DOMAIN_INVALID");
  }
  return Parse(uri.substr(kSpiffeScheme.size()));
}

std::string TrustDomain::Id() const { return absl::StrCat(kSpiffeScheme, name_); }

}  // namespace meshca
