// Callers with a JWT of an issuer that the configuration names.
#ifndef MESHCA_CA_AUTHN_JWT_AUTHENTICATOR_H_
#define MESHCA_CA_AUTHN_JWT_AUTHENTICATOR_H_

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
#include "ca/authn/jwks_source.h"
#include "ca/authn/jwt.h"
#include "ca/authn/jwt_cache.h"

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
// with a fitting audience judges. A verdict is remembered for at most a minute and never past the token's end, so a
// caller that asks again costs a hash; only good ones are.
//
// Unauthenticated: JWT_MALFORMED, JWT_ALGORITHM_REFUSED, JWT_WRONG_ISSUER, JWT_UNKNOWN_KEY, JWT_KEY_AMBIGUOUS,
// JWT_SIGNATURE_INVALID, JWT_WRONG_AUDIENCE, JWT_EXPIRED, JWT_NOT_YET_VALID (jwt.h). PermissionDenied:
// JWT_CLAIM_MISSING, JWT_CLAIM_INVALID (the token is good and gives no identity). Unavailable: JWKS_UNAVAILABLE (the
// issuer's keys were never reached, or not for a day).
class JwtAuthenticator final : public Authenticator {
 public:
  // Opens the sources that are not open yet; their errors, naming the issuer.
  static absl::StatusOr<std::unique_ptr<JwtAuthenticator>> Create(std::vector<JwtIssuer> issuers);
  // Ends the sources; those waiting for a refresh are answered first.
  ~JwtAuthenticator() override;

  absl::string_view name() const override { return "jwt"; }
  absl::string_view accepts() const override { return accepts_; }
  bool Recognises(const Credentials& credentials) const override;
  // Verifies on the caller's thread (30-60 us); an unknown key waits for the source's.
  void Authenticate(Credentials credentials, absl::Time now, Done done) override;

  // Every issuer, in the order of the configuration. For `check` and metrics.
  std::vector<JwtIssuerReport> Reports() const;

 private:
  explicit JwtAuthenticator(std::vector<JwtIssuer> issuers);

  absl::StatusOr<const JwtIssuer*> IssuerOf(const Jwt& token) const;
  // The verdict with the keys at hand.
  absl::StatusOr<CallerIdentity> Judge(const Jwt& token, const JwtIssuer& issuer, absl::Time now) const;
  absl::StatusOr<CallerIdentity> JudgeAndRemember(const Jwt& token, const JwtIssuer& issuer,
                                                  absl::string_view token_sha256, absl::Time now);

  std::vector<JwtIssuer> issuers_;
  std::string accepts_;
  JwtCache cache_;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHN_JWT_AUTHENTICATOR_H_
