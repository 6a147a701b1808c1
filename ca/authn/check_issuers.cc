#include "ca/authn/check_issuers.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/utc_text.h"

namespace meshca {
namespace {

using State = CheckedFact::State;

CheckedFact CheckIssuer(const JwtIssuerReport& issuer) {
  const JwksReport& report = issuer.keys;
  const auto fact = [&](State state, std::string detail, std::string mend) {
    return CheckedFact{absl::StrCat("token issuer ", issuer.issuer), state, std::move(detail), std::move(mend)};
  };
  const bool reached = report.last_success != absl::InfinitePast();
  const std::string mend_source =
      absl::StrCat("make ", report.location,
                   " readable from this host, or mend jwks_file, jwks_url or jwks_ca_file in the configuration");
  if (report.keys == nullptr) {
    return fact(State::kFailed,
                absl::StrCat(reached ? absl::StrCat("its keys were not read since ", UtcText(report.last_success))
                                     : "its keys were never read",
                             ", so none of its tokens is accepted: ", report.location, ": ",
                             report.error.empty() ? "no look has ended yet" : report.error),
                mend_source);
  }
  const Jwks& keys = *report.keys;
  const std::string ignored = keys.IgnoredText();
  if (keys.keys().empty()) {
    return fact(State::kFailed,
                absl::StrCat(report.location, " has no key that can be used, so none of its tokens is accepted",
                             ignored.empty() ? "" : ": ", ignored),
                "publish an RSA (2048-4096 bits), P-256, P-384 or Ed25519 key for signatures there");
  }
  std::string detail = absl::StrCat(keys.keys().size(), keys.keys().size() == 1 ? " key" : " keys", " of ",
                                    report.location, ", read ", UtcText(report.last_success));
  if (!ignored.empty()) absl::StrAppend(&detail, "; not used: ", ignored);
  if (!report.error.empty()) {
    return fact(State::kWarning, absl::StrCat(detail, "; the last look failed: ", report.error), mend_source);
  }
  const bool broken =
      std::any_of(keys.ignored().begin(), keys.ignored().end(), [](const Jwks::Ignored& key) { return key.broken; });
  return broken ? fact(State::kWarning, detail, "mend or withdraw the keys named, at the issuer")
                : fact(State::kOk, detail, "");
}

}  // namespace

void CheckTokenIssuers(const std::vector<JwtIssuerReport>& issuers, std::vector<CheckedFact>& facts) {
  for (const JwtIssuerReport& issuer : issuers) facts.push_back(CheckIssuer(issuer));
}

}  // namespace meshca
