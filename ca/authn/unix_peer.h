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
#include "ca/authn/fair_pool.h"
#include "ca/authn/host_names.h"
#include "ca/authn/process.h"
#include "ca/authn/process_facts.h"
#include "ca/identity/entry_advice.h"
#include "ca/spiffe/spiffe_id.h"
#include "ca/spiffe/trust_domain.h"

namespace meshca {

// The caller holds the IDs of every registration entry whose selectors it meets, each with the DNS names and the
// lifetime of its own entries. Nobody else holds anything here, neither root nor the server's own user: the socket may
// be shared with containers, and each of them has a root. What the selectors rest on is believed only while the process
// is still the one that connected (ProcessFacts).
//
// PermissionDenied, ENTRY_MISSING: no entry fits (says which command makes one), ENTRY_FOR_NODES: those that fit are
// for the agents of nodes, and this is not a socket of theirs, UNIX_PEER_UNMAPPED: none fits, and the
// uid is the kernel's stand-in for users without a number here (overflow_ids.h), UNIX_PEER_GONE: the process ended.
// Answers at once from what is in memory; where an entry rests on a disk or the host's name service, on a FairPool.
class UnixPeerAuthenticator final : public Authenticator {
 public:
  // References outlive the authenticator. `advice`: of the host whose socket it judges callers of.
  UnixPeerAuthenticator(TrustDomain trust_domain, const EntryCache& entries, EntryAdvice advice = {},
                        const ProcessTable& processes = SystemProcessTable(),
                        const NameService& names = SystemNameService());

  absl::string_view name() const override { return "unix-peer"; }
  absl::string_view accepts() const override {
    return "peer credentials on the Unix socket, with a registration entry";
  }
  bool Recognises(const Credentials& credentials) const override { return credentials.unix_peer.has_value(); }
  void Authenticate(Credentials credentials, absl::Time now, Done done) override;

  // Authenticate on the caller's thread: may wait for a disk or the host's name service.
  absl::StatusOr<CallerIdentity> Judge(const UnixPeer& peer) const;

 private:
  absl::StatusOr<CallerIdentity> Judge(const UnixPeer& peer, ProcessFacts& process) const;

  const TrustDomain trust_domain_;
  const EntryCache& entries_;
  const EntryAdvice advice_;
  const ProcessTable& processes_;
  mutable HostNames names_;
  FairPool pool_;  // last: its work uses the others
};

// PermissionDenied for a uid that no entry fits: "no registration entry fits uid 1000; make one: meshca entry create
// spiffe://TD/... --selector unix:uid:1000", as `advice` says it (ENTRY_MISSING, UNIX_PEER_UNMAPPED).
absl::Status EntryMissing(const TrustDomain& trust_domain, const EntryAdvice& advice, uint32_t uid);

// The same refusal with the identity that was asked for in its command, for whoever knows it. Any other status as it
// is.
absl::Status NameWantedId(const absl::Status& refusal, const TrustDomain& trust_domain, const SpiffeId& wanted);

// CallerIdentity::instance of a process: "pid 42 start 7".
std::string UnixInstance(const UnixPeer& peer);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHN_UNIX_PEER_H_
