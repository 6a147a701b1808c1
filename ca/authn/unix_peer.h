// Callers on a Unix socket, known by what the kernel says about them.
#ifndef MESHCA_CA_AUTHN_UNIX_PEER_H_
#define MESHCA_CA_AUTHN_UNIX_PEER_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/authn/authenticator.h"
#include "ca/authn/entry_cache.h"
#include "ca/authn/process.h"
#include "ca/spiffe/spiffe_id.h"
#include "ca/spiffe/trust_domain.h"

namespace meshca {

// The caller holds the IDs of every registration entry that fits its uid, gid and executable, each with the DNS names
// and the lifetime of its own entries. Nobody else holds anything here, neither root nor the server's own user: the
// socket may be shared with containers, and each of them has a root. The executable is believed only when the process
// is still the one that connected: its start time is compared after reading, so a reused pid gains nothing.
//
// PermissionDenied, ENTRY_MISSING: no entry fits (says which command makes one), UNIX_PEER_UNMAPPED: none fits, and the
// uid is the kernel's stand-in for users without a number here (overflow_ids.h), UNIX_PEER_GONE: the process ended.
// Computes only, apart from two reads of /proc where an entry asks for a path.
class UnixPeerAuthenticator final : public Authenticator {
 public:
  // References outlive the authenticator.
  UnixPeerAuthenticator(TrustDomain trust_domain, const EntryCache& entries,
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
  const EntryCache& entries_;
  const ProcessTable& processes_;
};

// PermissionDenied for a uid that no entry fits: "no registration entry fits uid 1000; make one: meshca entry create
// spiffe://TD/... --selector unix:uid:1000" (ENTRY_MISSING, UNIX_PEER_UNMAPPED).
absl::Status EntryMissing(const TrustDomain& trust_domain, uint32_t uid);

// The same refusal with the identity that was asked for in its command, for whoever knows it. Any other status as it
// is.
absl::Status NameWantedId(const absl::Status& refusal, const TrustDomain& trust_domain, const SpiffeId& wanted);

// "meshca entry create spiffe://TD/web --selector unix:uid:1000".
std::string EntryCommand(absl::string_view spiffe_id, uint32_t uid);

// CallerIdentity::instance of a process: "pid 42 start 7".
std::string UnixInstance(const UnixPeer& peer);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHN_UNIX_PEER_H_
