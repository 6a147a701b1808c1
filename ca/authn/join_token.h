// Callers with a join token.
#ifndef MESHCA_CA_AUTHN_JOIN_TOKEN_H_
#define MESHCA_CA_AUTHN_JOIN_TOKEN_H_

#include <atomic>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/authn/authenticator.h"
#include "ca/authn/fair_pool.h"
#include "ca/identity/token_store.h"

namespace meshca {

// Looks the token up on a FairPool, because the store blocks, and so that whoever sends thousands of unknown tokens
// keeps nobody else waiting. The caller gets the token's one ID; the issuance that follows redeems the token
// (CallerIdentity::token_id), and only there is it found out whether a used one comes back with the same key.
//
// Unauthenticated: TOKEN_MALFORMED, TOKEN_UNKNOWN, TOKEN_EXPIRED. ResourceExhausted: FairPool's.
// Unavailable: the store is away, or the server shuts down.
class JoinTokenAuthenticator final : public Authenticator {
 public:
  // `store` outlives the authenticator.
  explicit JoinTokenAuthenticator(TokenStore& store) : JoinTokenAuthenticator(store, {.threads = 2}) {}
  JoinTokenAuthenticator(TokenStore& store, FairPool::Options options);
  // Waits for the lookup under way; answers the waiting ones Unavailable.
  ~JoinTokenAuthenticator() override;

  absl::string_view name() const override { return "join-token"; }
  absl::string_view accepts() const override { return "a join token (authorization: Bearer meshca-jt1...)"; }
  bool Recognises(const Credentials& credentials) const override;
  void Authenticate(Credentials credentials, absl::Time now, Done done) override;

 private:
  // The token itself is not kept.
  absl::StatusOr<CallerIdentity> Judge(const std::string& secret_sha256, absl::Time now);

  TokenStore& store_;
  std::atomic<bool> stopping_ = false;
  FairPool pool_;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHN_JOIN_TOKEN_H_
