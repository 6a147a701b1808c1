// Callers with a join token.
#ifndef MESHCA_CA_AUTHN_JOIN_TOKEN_H_
#define MESHCA_CA_AUTHN_JOIN_TOKEN_H_

#include <atomic>
#include <cstddef>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/authn/authenticator.h"
#include "ca/base/bounded_queue.h"
#include "ca/identity/token_store.h"

namespace meshca {

// Looks the token up on threads of its own, because the store blocks. The caller gets the token's one ID; the issuance
// that follows redeems the token (CallerIdentity::token_id), and only there is it found out whether a used one comes
// back with the same key.
//
// Unauthenticated: TOKEN_MALFORMED, TOKEN_UNKNOWN, TOKEN_EXPIRED. ResourceExhausted: AUTHENTICATION_QUEUE_FULL.
// Unavailable: the store is away, or the server shuts down.
class JoinTokenAuthenticator final : public Authenticator {
 public:
  struct Options {
    size_t threads = 2;
    size_t queue_max = 1024;
  };

  // `store` outlives the authenticator.
  explicit JoinTokenAuthenticator(TokenStore& store) : JoinTokenAuthenticator(store, Options()) {}
  JoinTokenAuthenticator(TokenStore& store, Options options);
  // Waits for the lookup under way; answers the waiting ones Unavailable.
  ~JoinTokenAuthenticator() override;

  absl::string_view name() const override { return "join-token"; }
  absl::string_view accepts() const override { return "a join token (authorization: Bearer meshca-jt1...)"; }
  bool Recognises(const Credentials& credentials) const override;
  void Authenticate(Credentials credentials, absl::Time now, Done done) override;

 private:
  struct Lookup {
    std::string secret_sha256;  // the token itself is not kept
    absl::Time now;
    Done done;
  };
  void Run();
  absl::StatusOr<CallerIdentity> Judge(const Lookup& lookup);

  TokenStore& store_;
  BoundedQueue<Lookup> queue_;
  std::atomic<bool> stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHN_JOIN_TOKEN_H_
