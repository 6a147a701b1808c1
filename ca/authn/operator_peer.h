// Callers on the admin socket: operators of the CA.
#ifndef MESHCA_CA_AUTHN_OPERATOR_PEER_H_
#define MESHCA_CA_AUTHN_OPERATOR_PEER_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/authn/authenticator.h"
#include "ca/authn/unix_peer.h"

namespace meshca {

// Whoever could open the admin socket may name any SPIFFE ID of the trust domain and any DNS name: the permissions of
// its file have decided, and its user could make an entry or a token for any of them anyway. `default` is still the
// caller's own identity, by the entries that fit it; without one it has none. Reserved IDs only where an entry names
// them. A peer of any other socket is not recognised here. Threads as UnixPeerAuthenticator.
class OperatorAuthenticator final : public Authenticator {
 public:
  // `entries` says which identities are the caller's own; it outlives the authenticator.
  explicit OperatorAuthenticator(UnixPeerAuthenticator& entries) : entries_(entries) {}

  absl::string_view name() const override { return "operator"; }
  absl::string_view accepts() const override { return "peer credentials on the admin socket"; }
  bool Recognises(const Credentials& credentials) const override {
    return credentials.unix_peer.has_value() && credentials.unix_peer->admin_socket;
  }
  void Authenticate(Credentials credentials, absl::Time now, Done done) override;

  // Authenticate on the caller's thread.
  CallerIdentity Judge(const UnixPeer& peer) const;

 private:
  UnixPeerAuthenticator& entries_;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHN_OPERATOR_PEER_H_
