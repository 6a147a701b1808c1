#include "ca/spiffe/spiffe_id.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ca/base/glob.h"
#include "ca/base/status.h"
#include "ca/spiffe/name_rules.h"

namespace meshca {
namespace {

absl::Status Broken(absl::string_view rule, absl::string_view uri) {
  return WithReason(absl::InvalidArgumentError(absl::StrCat("SPIFFE ID: ", rule, ": ", QuoteForError(uri))),
                    "SPIFFE_ID_INVALID");
}

}  // namespace

absl::StatusOr<SpiffeId> SpiffeId::Parse(absl::string_view uri) {
  if (uri.empty()) return Broken("is empty", uri);
  if (uri.size() > kBytesMax) {
    return Broken(absl::StrCat("is ", uri.size(), " bytes long, more than ", kBytesMax), uri);
  }
  if (!absl::StartsWithIgnoreCase(uri, kSpiffeScheme)) return Broken("must begin with spiffe://", uri);
  const absl::string_view rest = uri.substr(kSpiffeScheme.size());
  const size_t slash = rest.find('/');
  const absl::string_view domain = rest.substr(0, slash);
  const absl::string_view path = slash == absl::string_view::npos ? absl::string_view() : rest.substr(slash);
  if (std::string rule = TrustDomainRuleBroken(domain); !rule.empty()) return Broken(rule, uri);
  if (std::string rule = PathRuleBroken(path); !rule.empty()) return Broken(rule, uri);

  std::string stored(uri);
  for (size_t i = 0; i < kSpiffeScheme.size() + domain.size(); ++i) stored[i] = absl::ascii_tolower(stored[i]);
  return SpiffeId(std::move(stored), domain.size());
}

absl::StatusOr<SpiffeId> SpiffeId::FromParts(const TrustDomain& trust_domain, absl::string_view path) {
  std::string uri = absl::StrCat(kSpiffeScheme, trust_domain.name(), path);
  // Without this, a path such as "x" would lengthen the trust domain's name instead of being refused.
  if (std::string rule = PathRuleBroken(path); !rule.empty()) return Broken(rule, uri);
  // Parse names what is wrong. Of a trust domain that is there nothing is, and both parts are checked.
  if (trust_domain.empty() || uri.size() > kBytesMax) return Parse(uri);
  return SpiffeId(std::move(uri), trust_domain.name().size());
}

absl::string_view SpiffeId::trust_domain_name() const {
  if (uri_.empty()) return {};
  return absl::string_view(uri_).substr(kSpiffeScheme.size(), trust_domain_size_);
}

absl::string_view SpiffeId::path() const {
  if (uri_.empty()) return {};
  return absl::string_view(uri_).substr(kSpiffeScheme.size() + trust_domain_size_);
}

bool SpiffeId::IsReserved() const {
  const absl::string_view own = "/meshca";
  return path() == own || absl::StartsWith(path(), "/meshca/");
}

bool SpiffeId::MatchesGlob(absl::string_view pattern) const { return GlobMatches(pattern, uri_); }

}  // namespace meshca
