#include "ca/authn/operator_peer.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace meshca {

void OperatorAuthenticator::Authenticate(Credentials credentials, absl::Time now, Done done) {
  std::move(done)(Judge(*credentials.unix_peer));
}

CallerIdentity OperatorAuthenticator::Judge(const UnixPeer& peer) const {
  CallerIdentity caller;
  caller.method = AuthMethod::kServerUser;
  caller.subject = absl::StrCat("uid ", peer.uid);
  caller.any_id_of_trust_domain = true;
  caller.dns_names = {"*"};
  caller.origin = {OriginKind::kOperator, caller.subject};
  caller.instance = UnixInstance(peer);
  // The entries say which identity `default` is, and nothing else: the right to it is the operator's own, without the
  // lifetime and the names that an entry would hold a workload to.
  if (absl::StatusOr<CallerIdentity> own = entries_.Judge(peer); own.ok()) {
    caller.ids = std::move(own->ids);
    // To a reserved ID an operator has no right of its own: it is the entry's, and ends with it.
    for (IdentityRights& rights : own->rights) {
      if (rights.id.IsReserved()) caller.rights.push_back(std::move(rights));
    }
  }
  return caller;
}

}  // namespace meshca
