// Callers on a Unix socket, known by what the kernel says about them.
#ifndef MESHCA_CA_AUTHN_UNIX_PEER_H_
#define MESHCA_CA_AUTHN_UNIX_PEER_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/authn/authenticator.h"
#include "ca/authn/entry_cache.h"
#include "ca/authn/process.h"
#include "ca/spiffe/trust_domain.h"

namespace meshca {

// The caller holds the IDs of every registration entry that fits its uid, gid and executable, each with the DNS names
// and the lifetime of its own entries. The server's own user
// (AuthMethod::kServerUser) may besides name any ID of the trust domain; root may only where the server runs as root.
// The executable is believed only when the process is still the one that connected: its start time is compared after
// reading, so a reused pid gains nothing.
//
// PermissionDenied, ENTRY_MISSING: no entry fits (says which command makes one), UNIX_PEER_GONE: the process ended.
// Computes only, apart from two reads of /proc where an entry asks for a path.
class UnixPeerAuthenticator final : public Authenticator {
 public:
  // References outlive the authenticator. `server_uid` is whose calls may name any ID.
  UnixPeerAuthenticator(TrustDomain trust_domain, uint32_t server_uid, const EntryCache& entries,
                        const ProcessTable& processes = SystemProcessTable());

  absl::string_view name() const override { return "unix-peer"; }
  absl::string_view accepts() const override {
    return "peer credentials on the Unix socket, with a registration entry";
  }
  bool Recognises(const Credentials& credentials) const override { return credentials.unix_peer.has_value(); }
  void Authenticate(Credentials credentials, absl::Time now, Done done) override;

  absl::StatusOr<CallerIdentity> Judge(const UnixPeer& peer) const;

 private:
  const TrustDomain trust_domain_;
  const uint32_t server_uid_;
  const EntryCache& entries_;
  const ProcessTable& processes_;
};

// PermissionDenied (ENTRY_MISSING) for whoever asks for `default` and holds no ID of its own, the server's user
// included: "... no registration entry fits uid 1000; make one: meshca entry create spiffe://TD/... --selector
// unix:uid:1000".
absl::Status EntryMissing(const TrustDomain& trust_domain, uint32_t uid);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHN_UNIX_PEER_H_
