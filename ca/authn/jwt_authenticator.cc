#include "ca/authn/jwt_authenticator.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ca/base/status.h"
#include "ca/x509/digest.h"

namespace meshca {
namespace {

// What a token's subject adds to the record; a long or strange one is cut and escaped.
std::string Shown(absl::string_view text) { return absl::Utf8SafeCHexEscape(text.substr(0, 200)); }

}  // namespace

absl::StatusOr<std::unique_ptr<JwtAuthenticator>> JwtAuthenticator::Create(std::vector<JwtIssuer> issuers) {
  for (JwtIssuer& issuer : issuers) {
    if (issuer.keys != nullptr) continue;
    absl::StatusOr<std::unique_ptr<JwksSource>> keys = OpenJwksSource(issuer.location);
    if (!keys.ok()) return Annotate(keys.status(), absl::StrCat("keys of issuer ", issuer.issuer));
    issuer.keys = *std::move(keys);
  }
  return std::unique_ptr<JwtAuthenticator>(new JwtAuthenticator(std::move(issuers)));
}

JwtAuthenticator::JwtAuthenticator(std::vector<JwtIssuer> issuers)
    : issuers_(std::move(issuers)),
      accepts_(absl::StrCat("a JWT of ", absl::StrJoin(issuers_, " or ", [](std::string* out, const JwtIssuer& each) {
                              out->append(each.issuer);
                            }))) {}

JwtAuthenticator::~JwtAuthenticator() {
  // Their threads call back into this object: they end while all of it is still there.
  for (JwtIssuer& issuer : issuers_) issuer.keys->Stop();
}

std::vector<JwtIssuerReport> JwtAuthenticator::Reports() const {
  std::vector<JwtIssuerReport> reports;
  reports.reserve(issuers_.size());
  for (const JwtIssuer& issuer : issuers_) reports.push_back({issuer.issuer, issuer.keys->Report()});
  return reports;
}

bool JwtAuthenticator::Recognises(const Credentials& credentials) const {
  return !issuers_.empty() && LooksLikeJwt(credentials.bearer_token.reveal());
}

absl::StatusOr<const JwtIssuer*> JwtAuthenticator::IssuerOf(const Jwt& token) const {
  const JwtIssuer* first = nullptr;
  const std::vector<std::string> found = token.audiences();
  for (const JwtIssuer& issuer : issuers_) {
    if (issuer.issuer != token.issuer()) continue;
    if (first == nullptr) first = &issuer;
    if (std::find_first_of(found.begin(), found.end(), issuer.audiences.begin(), issuer.audiences.end()) !=
        found.end()) {
      return &issuer;
    }
  }
  if (first != nullptr) return first;
  return WithReason(
      absl::UnauthenticatedError(absl::StrCat(
          "JWT: its issuer is \"", Shown(token.issuer()), "\"; accepted: ",
          absl::StrJoin(issuers_, ", ", [](std::string* out, const JwtIssuer& each) { out->append(each.issuer); }))),
      "JWT_WRONG_ISSUER");
}

absl::StatusOr<CallerIdentity> JwtAuthenticator::Judge(const Jwt& token, const JwtIssuer& issuer,
                                                       absl::Time now) const {
  const std::shared_ptr<const Jwks> keys = issuer.keys->Current();
  if (keys == nullptr) {
    // The same reason as for a key that is not there: both are cured by a look at the source.
    return WithReason(absl::UnauthenticatedError("JWT: the issuer's keys are not here yet"), "JWT_UNKNOWN_KEY");
  }
  MESHCA_RETURN_IF_ERROR(token.VerifySignature(*keys));
  MESHCA_RETURN_IF_ERROR(token.CheckClaims(issuer.issuer, issuer.audiences, now));
  MESHCA_ASSIGN_OR_RETURN(SpiffeId id, issuer.spiffe_id.Expand(token.claims()));
  CallerIdentity caller;
  caller.method = AuthMethod::kJwt;
  caller.subject = absl::StrCat("jwt ", issuer.issuer, " sub=", Shown(token.subject()));
  caller.ids = {std::move(id)};
  caller.proof_expires = token.expires();
  caller.origin = {OriginKind::kJwtIssuer, issuer.issuer};
  return caller;
}

absl::StatusOr<CallerIdentity> JwtAuthenticator::JudgeAndRemember(const Jwt& token, const JwtIssuer& issuer,
                                                                  absl::string_view token_sha256, absl::Time now) {
  MESHCA_ASSIGN_OR_RETURN(CallerIdentity caller, Judge(token, issuer, now));
  cache_.Put(token_sha256, caller, token.expires(), now);
  return caller;
}

void JwtAuthenticator::Authenticate(Credentials credentials, absl::Time now, Done done) {
  const absl::string_view text = credentials.bearer_token.reveal();
  if (text.size() > Jwt::kBytesMax) return std::move(done)(Jwt::Parse(text).status());
  std::string hash = Sha256(text);
  if (std::optional<CallerIdentity> known = cache_.Find(hash, now); known.has_value()) {
    return std::move(done)(*std::move(known));
  }
  absl::StatusOr<Jwt> token = Jwt::Parse(text);
  if (!token.ok()) return std::move(done)(token.status());
  absl::StatusOr<const JwtIssuer*> issuer = IssuerOf(*token);
  if (!issuer.ok()) return std::move(done)(issuer.status());

  absl::StatusOr<CallerIdentity> verdict = JudgeAndRemember(*token, **issuer, hash, now);
  if (verdict.ok() || ReasonOf(verdict.status()) != "JWT_UNKNOWN_KEY") return std::move(done)(std::move(verdict));
  // A new key signs before the next regular look: one more look, then the verdict stands.
  const JwtIssuer& chosen = **issuer;
  chosen.keys->Refresh([this, token = *std::move(token), &chosen, hash = std::move(hash), now,
                        done = std::move(done)](absl::Status looked) mutable {
    if (!looked.ok()) return std::move(done)(Annotate(looked, absl::StrCat("keys of issuer ", chosen.issuer)));
    std::move(done)(JudgeAndRemember(token, chosen, hash, now));
  });
}

}  // namespace meshca
