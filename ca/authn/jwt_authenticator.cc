#include "ca/authn/jwt_authenticator.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ca/base/status.h"
#include "ca/jwt/jwt_digest.h"

namespace meshca {
namespace {

absl::Status UnknownKey() {
  // The same reason as for a key that is not there: both are cured by a look at the source.
  return WithReason(absl::UnauthenticatedError("JWT: the issuer's keys are not here yet"), "JWT_UNKNOWN_KEY");
}

absl::Status FindKeys(const JwtProof& proof, const Jwks* keys) {
  return keys == nullptr ? UnknownKey() : proof.FindKeys(*keys).status();
}

// What a token's subject adds to the record; a long or strange one is cut and escaped.
std::string ShownClaim(absl::string_view text) { return absl::Utf8SafeCHexEscape(text.substr(0, 200)); }

}  // namespace

struct JwtAuthenticator::Waiting {
  JwtProof proof;
  const JwtIssuer* issuer;
  std::string token_digest;
  absl::Time now;
  absl::Time expires;
  absl::StatusOr<CallerIdentity> caller;  // worth nothing before the signature is verified
  std::function<bool()> abandoned;
  FairPool::Place place;
  Done done;
};

absl::StatusOr<std::unique_ptr<JwtAuthenticator>> JwtAuthenticator::Create(std::vector<JwtIssuer> issuers,
                                                                           FairPool::Options pool) {
  for (JwtIssuer& issuer : issuers) {
    if (issuer.keys != nullptr) continue;
    absl::StatusOr<std::unique_ptr<JwksSource>> keys = OpenJwksSource(issuer.location);
    if (!keys.ok()) return Annotate(keys.status(), absl::StrCat("keys of issuer ", issuer.issuer));
    issuer.keys = *std::move(keys);
  }
  return std::unique_ptr<JwtAuthenticator>(new JwtAuthenticator(std::move(issuers), std::move(pool)));
}

JwtAuthenticator::JwtAuthenticator(std::vector<JwtIssuer> issuers, FairPool::Options pool)
    : issuers_(std::move(issuers)),
      accepts_(absl::StrCat(
          "a JWT of ",
          absl::StrJoin(issuers_, " or ", [](std::string* out, const JwtIssuer& each) { out->append(each.issuer); }))),
      pool_([&pool] {
        pool.what = "tokens";
        return std::move(pool);
      }()) {}

JwtAuthenticator::~JwtAuthenticator() {
  // Their threads call back into this object: they end while all of it is still there.
  stopping_ = true;
  for (JwtIssuer& issuer : issuers_) issuer.keys->Stop();
  pool_.Stop();
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
          "JWT: its issuer is \"", ShownClaim(token.issuer()), "\"; accepted: ",
          absl::StrJoin(issuers_, ", ", [](std::string* out, const JwtIssuer& each) { out->append(each.issuer); }))),
      "JWT_WRONG_ISSUER");
}

absl::StatusOr<CallerIdentity> JwtAuthenticator::CallerOf(const Jwt& token, const JwtIssuer& issuer) const {
  MESHCA_ASSIGN_OR_RETURN(SpiffeId id, issuer.spiffe_id.Expand(token.claims()));
  CallerIdentity caller;
  caller.method = AuthMethod::kJwt;
  caller.subject = absl::StrCat("jwt ", issuer.issuer, " sub=", ShownClaim(token.subject()));
  caller.ids = {std::move(id)};
  caller.proof_expires = token.expires();
  caller.origin = {OriginKind::kJwtIssuer, issuer.issuer};
  return caller;
}

void JwtAuthenticator::Authenticate(Credentials credentials, absl::Time now, Done done) {
  const absl::string_view text = credentials.bearer_token.reveal();
  if (text.size() > Jwt::kBytesMax) return std::move(done)(Jwt::Parse(text).status());
  JwtDigest digest = JwtDigest::Of(text);
  if (std::optional<CallerIdentity> known = cache_.Find(digest.token, now); known.has_value()) {
    return std::move(done)(*std::move(known));
  }
  const absl::StatusOr<Jwt> token = Jwt::Parse(text, &digest);
  if (!token.ok()) return std::move(done)(token.status());
  const absl::StatusOr<const JwtIssuer*> issuer = IssuerOf(*token);
  if (!issuer.ok()) return std::move(done)(issuer.status());
  if (absl::Status claims = token->CheckClaims((*issuer)->issuer, (*issuer)->audiences, now); !claims.ok()) {
    return std::move(done)(std::move(claims));
  }
  std::shared_ptr<const Jwks> keys = (*issuer)->keys->Current();
  absl::Status found = FindKeys(token->proof(), keys.get());
  const bool unknown_key = !found.ok() && ReasonOf(found) == "JWT_UNKNOWN_KEY";
  if (!found.ok() && !unknown_key) return std::move(done)(std::move(found));
  if (refused_.Contains(digest.token, keys)) return std::move(done)(JwtProof::SignatureInvalid());

  absl::StatusOr<FairPool::Place> place = pool_.Admit(credentials.source);
  if (!place.ok()) return std::move(done)(place.status());
  Waiting waiting{token->proof(),
                  *issuer,
                  std::move(digest.token),
                  now,
                  token->expires(),
                  CallerOf(*token, **issuer),
                  std::move(credentials.abandoned),
                  *std::move(place),
                  std::move(done)};
  if (unknown_key) return FindNewKey(std::move(waiting));
  SubmitToPool(std::move(waiting), std::move(keys));
}

// A new key signs before the next regular look: one more look, then the verdict stands.
void JwtAuthenticator::FindNewKey(Waiting waiting) {
  JwksSource& source = *waiting.issuer->keys;
  source.Refresh([this, waiting = std::move(waiting)](absl::Status looked) mutable {
    if (!looked.ok()) {
      return std::move(waiting.done)(Annotate(looked, absl::StrCat("keys of issuer ", waiting.issuer->issuer)));
    }
    std::shared_ptr<const Jwks> keys = waiting.issuer->keys->Current();
    if (absl::Status found = FindKeys(waiting.proof, keys.get()); !found.ok()) {
      return std::move(waiting.done)(std::move(found));
    }
    SubmitToPool(std::move(waiting), std::move(keys));
  });
}

void JwtAuthenticator::SubmitToPool(Waiting waiting, std::shared_ptr<const Jwks> keys) {
  FairPool::Place place = std::move(waiting.place);
  pool_.Submit(std::move(place), [this, waiting = std::move(waiting), keys = std::move(keys)]() mutable {
    absl::StatusOr<CallerIdentity> verdict = VerifyAndRemember(waiting, keys);
    std::move(waiting.done)(std::move(verdict));
  });
}

absl::StatusOr<CallerIdentity> JwtAuthenticator::VerifyAndRemember(Waiting& waiting,
                                                                   const std::shared_ptr<const Jwks>& keys) {
  if (stopping_) return absl::UnavailableError("the server is shutting down");
  if (waiting.abandoned && waiting.abandoned()) return absl::CancelledError("the caller went away");
  // The same token may have been verified while this one waited: a client's first calls come together.
  if (std::optional<CallerIdentity> known = cache_.Find(waiting.token_digest, waiting.now); known.has_value()) {
    return *std::move(known);
  }
  if (refused_.Contains(waiting.token_digest, keys)) return JwtProof::SignatureInvalid();
  ++signatures_verified_;
  if (absl::Status good = waiting.proof.Verify(*keys); !good.ok()) {
    refused_.Put(waiting.token_digest, keys);
    return good;
  }
  if (waiting.caller.ok()) cache_.Put(waiting.token_digest, *waiting.caller, waiting.expires, waiting.now);
  return std::move(waiting.caller);
}

}  // namespace meshca
