// Callers with a JWT of an issuer that the configuration names.
#ifndef MESHCA_CA_AUTHN_JWT_AUTHENTICATOR_H_
#define MESHCA_CA_AUTHN_JWT_AUTHENTICATOR_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/authn/authenticator.h"
#include "ca/authn/claim_template.h"
#include "ca/authn/fair_pool.h"
#include "ca/authn/jwks_source.h"
#include "ca/authn/refused_tokens.h"
#include "ca/authn/token_cache.h"
#include "ca/jwt/jwt.h"

namespace meshca {

// One `jwt` of the configuration.
struct JwtIssuer {
  std::string issuer;
  std::vector<std::string> audiences;  // at least one
  ClaimTemplate spiffe_id;
  JwksLocation location;
  std::shared_ptr<JwksSource> keys;  // null: Create opens `location`
};

// How it stands with one issuer.
struct JwtIssuerReport {
  std::string issuer;
  JwksReport keys;
};

// All issuers in one, because which of them judges stands inside the token. Of several with the same `iss` the first
// with a fitting audience judges. A good verdict is remembered for at most a minute and never past the token's end, so
// a caller that asks again costs a hash and is answered at once.
//
// What is cheap comes first, on the caller's thread: form, algorithm, type, issuer, audience, times, the name of the
// key. Only then is a signature verified, on a FairPool, where each source has its share. A token whose signature was
// bad is refused at once when it comes again, as long as the issuer's keys are the same.
//
// Unauthenticated: JWT_MALFORMED, JWT_ALGORITHM_REFUSED, JWT_TYPE_REFUSED, JWT_WRONG_ISSUER, JWT_UNKNOWN_KEY,
// JWT_KEY_AMBIGUOUS, JWT_SIGNATURE_INVALID, JWT_WRONG_AUDIENCE, JWT_EXPIRED, JWT_NOT_YET_VALID (jwt.h).
// PermissionDenied: JWT_CLAIM_MISSING, JWT_CLAIM_INVALID (the token is good and gives no identity). Unavailable:
// JWKS_UNAVAILABLE (the issuer's keys were never reached, or not for a day). ResourceExhausted: FairPool's.
class JwtAuthenticator final : public Authenticator {
 public:
  // Opens the sources that are not open yet; their errors, naming the issuer.
  static absl::StatusOr<std::unique_ptr<JwtAuthenticator>> Create(std::vector<JwtIssuer> issuers,
                                                                  FairPool::Options pool = {});
  // Ends the sources and the pool; those waiting for either are answered first.
  ~JwtAuthenticator() override;

  absl::string_view name() const override { return "jwt"; }
  absl::string_view accepts() const override { return accepts_; }
  bool Recognises(const Credentials& credentials) const override;
  // Answers before it returns where no signature has to be verified; else on a thread of the pool. An unknown key waits
  // for the issuer's source first.
  void Authenticate(Credentials credentials, absl::Time now, Done done) override;

  // Every issuer, in the order of the configuration. For `check` and metrics.
  std::vector<JwtIssuerReport> Reports() const;

  // Tokens whose signature was verified, well or not. For tests and metrics.
  uint64_t signatures_verified() const { return signatures_verified_; }

 private:
  struct Waiting;  // a token that passed everything but the signature
  JwtAuthenticator(std::vector<JwtIssuer> issuers, FairPool::Options pool);

  absl::StatusOr<const JwtIssuer*> IssuerOf(const Jwt& token) const;
  // What the token gives if its signature is good.
  absl::StatusOr<CallerIdentity> CallerOf(const Jwt& token, const JwtIssuer& issuer) const;
  void FindNewKey(Waiting waiting);
  void SubmitToPool(Waiting waiting, std::shared_ptr<const Jwks> keys);
  // On the pool.
  absl::StatusOr<CallerIdentity> VerifyAndRemember(Waiting& waiting, const std::shared_ptr<const Jwks>& keys);

  std::vector<JwtIssuer> issuers_;
  std::string accepts_;
  TokenCache<CallerIdentity> cache_;
  RefusedTokens refused_;
  std::atomic<uint64_t> signatures_verified_ = 0;
  std::atomic<bool> stopping_ = false;
  FairPool pool_;  // last: its threads use the others
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHN_JWT_AUTHENTICATOR_H_
