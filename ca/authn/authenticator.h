// How a caller proves who it is: one authenticator a kind of credential, asked in the order configured.
#ifndef MESHCA_CA_AUTHN_AUTHENTICATOR_H_
#define MESHCA_CA_AUTHN_AUTHENTICATOR_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/base/secret.h"
#include "ca/identity/caller_identity.h"
#include "ca/x509/chain_verifier.h"

namespace meshca {

// Peer credentials of a Unix socket, read when the connection was accepted.
struct UnixPeer {
  int32_t pid = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint64_t start_time = 0;  // of the process, in clock ticks since boot: tells a reused pid apart
  // It came by the admin socket, whose permissions let operators in and nobody else.
  bool admin_socket = false;
};

// Everything a call brought that may prove who made it. The edge fills it in; secrets are wiped with it.
struct Credentials {
  SecretBytes bearer_token;  // the text after "Bearer "; empty: none
  // The TLS client certificate with the path that the handshake verified, which is judged again for each call. Null:
  // none. There is no way to give a certificate without its path.
  std::shared_ptr<const VerifiedPeer> client_certificate;
  std::optional<UnixPeer> unix_peer;
  std::string peer_address;  // for people
  // Whom the work on this credential is counted against: an address, a network, a uid, or the identity that a client
  // certificate has proven. Callers of one source share its places in queues.
  std::string source;
  // Whether nobody waits for the answer any more: what has not begun by then need not be done. Any thread; empty:
  // somebody always waits.
  std::function<bool()> abandoned;
};

// Thread-safe.
class Authenticator {
 public:
  using Done = absl::AnyInvocable<void(absl::StatusOr<CallerIdentity>) &&>;
  virtual ~Authenticator() = default;

  // "join-token", "jwt", ...: for logs and metrics.
  virtual absl::string_view name() const = 0;

  // What a caller would send, for the refusal of one that sent nothing: "a join token (authorization: Bearer
  // meshca-jt1...)".
  virtual absl::string_view accepts() const { return name(); }

  // Whether the credential is of this authenticator's kind; the first that says so decides. Never blocks.
  virtual bool Recognises(const Credentials& credentials) const = 0;

  // Judges. `done` runs exactly once, on any thread, perhaps before this returns; never blocks the caller: database and
  // network work, and arithmetic that a stranger can ask for, go to the authenticator's own threads (FairPool).
  // Errors: Unauthenticated (invalid or expired: a new credential is needed), PermissionDenied (valid, but entitles to
  // nothing; says what would), Unavailable (the judge could not be reached), ResourceExhausted (too many waiting, of
  // this source or of all), Cancelled (abandoned before its turn came).
  virtual void Authenticate(Credentials credentials, absl::Time now, Done done) = 0;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHN_AUTHENTICATOR_H_
