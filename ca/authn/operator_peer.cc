#include "ca/authn/operator_peer.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace meshca {

namespace {

CallerIdentity OperatorWith(const UnixPeer& peer, absl::StatusOr<CallerIdentity> own) {
  CallerIdentity caller;
  caller.method = AuthMethod::kServerUser;
  caller.subject = absl::StrCat("uid ", peer.uid);
  caller.any_id_of_trust_domain = true;
  caller.dns_names = {"*"};
  caller.origin = {OriginKind::kOperator, caller.subject};
  caller.instance = UnixInstance(peer);
  if (!own.ok()) return caller;
  // The entries say which identity `default` is, and nothing else: the right to it is the operator's own, without the
  // lifetime and the names that an entry would hold a workload to.
  caller.ids = std::move(own->ids);
  // To a reserved ID an operator has no right of its own: it is the entry's, and ends with it.
  for (IdentityRights& rights : own->rights) {
    if (rights.id.IsReserved()) caller.rights.push_back(std::move(rights));
  }
  return caller;
}

}  // namespace

void OperatorAuthenticator::Authenticate(Credentials credentials, absl::Time now, Done done) {
  const UnixPeer peer = *credentials.unix_peer;
  // An operator may do without an entry, but not without an answer: what is the operator's own would be missing.
  entries_.Authenticate(std::move(credentials), now,
                        [peer, done = std::move(done)](absl::StatusOr<CallerIdentity> own) mutable {
                          if (absl::IsResourceExhausted(own.status()) || absl::IsCancelled(own.status())) {
                            std::move(done)(own.status());
                            return;
                          }
                          std::move(done)(OperatorWith(peer, std::move(own)));
                        });
}

CallerIdentity OperatorAuthenticator::Judge(const UnixPeer& peer) const {
  return OperatorWith(peer, entries_.Judge(peer));
}

}  // namespace meshca
