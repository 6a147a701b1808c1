// The steps of a root rotation, each as one transaction.
#ifndef MESHCA_CA_AUTHORITY_ROTATION_CHANGE_H_
#define MESHCA_CA_AUTHORITY_ROTATION_CHANGE_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/authority/authority_change.h"
#include "ca/authority/authority_store.h"
#include "ca/authority/rotation_control.h"
#include "ca/spiffe/trust_domain.h"

namespace meshca {

// All pure, no key and no certificate is made here: each takes what the store holds and says what to commit. The audit
// entry that comes first is named after the step: root.prepare, root.publish, root.activate, root.drain, root.retire,
// root.done, root.abort, root.rollback.
//
// FailedPrecondition where `state` has no rotation at the step named, so that a step is never done twice.

// The new root, and where it was plugged in the issuing authority under it: rows with their keys in place, made by
// AuthorityMaker or by whoever takes in a plugged-in set. A root that meshca holds the key of needs no issuing
// authority: one is made when it is activated (NextIssuing).
struct NewRoot {
  StoredAuthority root;
  std::optional<StoredAuthority> issuing;
};

// Is the new root's key certified by another root?
bool IsCrossCertified(const StoredAuthority& root);

// prepare: rows and rotation are there, nothing is published. FailedPrecondition: one runs already (ROTATION_RUNS), no
// root is active, or the new root is the active one. In an emergency the present root and all under it are tainted.
absl::StatusOr<AuthorityChange> PrepareRotation(const AuthoritiesAndBundle& state, const TrustDomain& domain,
                                                NewRoot root, const RotationOptions& options,
                                                const ChangeReason& reason);
// prepare -> distribute: the bundle holds both roots, the old one first.
absl::StatusOr<AuthorityChange> PublishRotation(const AuthoritiesAndBundle& state, const TrustDomain& domain,
                                                const ChangeReason& reason);
// distribute -> reissue: `issuing`, under the new root, signs; the new root comes first in the bundle. `forced`: "", or
// what to remember of an activation without the evidence.
absl::StatusOr<AuthorityChange> ActivateRotation(const AuthoritiesAndBundle& state, const TrustDomain& domain,
                                                 StoredAuthority issuing, const std::string& forced,
                                                 const ChangeReason& reason);
// reissue -> drain.
absl::StatusOr<AuthorityChange> DrainRotation(const AuthoritiesAndBundle& state, const TrustDomain& domain,
                                              const ChangeReason& reason);
// reissue or drain -> retire: the old root leaves the bundle, it and all under it are retired and their keys destroyed;
// chains lose the cross-certificate. `forced` as above.
absl::StatusOr<AuthorityChange> RetireRotation(const AuthoritiesAndBundle& state, const TrustDomain& domain,
                                               const std::string& forced, const ChangeReason& reason);
// retire -> done. `forced` as above.
absl::StatusOr<AuthorityChange> FinishRotation(const AuthoritiesAndBundle& state, const TrustDomain& domain,
                                               const std::string& forced, const ChangeReason& reason);
// Before activation: the new root leaves the bundle and is forgotten, the rotation with it.
absl::StatusOr<AuthorityChange> AbortRotation(const AuthoritiesAndBundle& state, const TrustDomain& domain,
                                              const ChangeReason& reason);
// reissue or drain -> reissue the other way round: `issuing`, under the old root, signs again.
absl::StatusOr<AuthorityChange> RollBackRotation(const AuthoritiesAndBundle& state, const TrustDomain& domain,
                                                 StoredAuthority issuing, const ChangeReason& reason);
// The rotation as it is, but it goes on by itself from now, and what `options` adds holds: before its activation an
// emergency too, with the taints of one that begins as such.
absl::StatusOr<AuthorityChange> TakeOverRotation(const AuthoritiesAndBundle& state, const TrustDomain& domain,
                                                 const RotationOptions& options, const ChangeReason& reason);
// The rotation as it is, and the consumers that nothing here can see are seen to.
absl::StatusOr<AuthorityChange> ConfirmExternal(const AuthoritiesAndBundle& state, const TrustDomain& domain,
                                                const ChangeReason& reason);
// The authority `id`'s key is taken for stolen.
absl::StatusOr<AuthorityChange> TaintAuthority(const AuthoritiesAndBundle& state, const TrustDomain& domain,
                                               const std::string& id, const ChangeReason& reason);

// The rotation that has not ended; null for none.
const RootRotation* RunningRotation(const AuthoritiesAndBundle& state);
// The issuing authority under `root_id` that was plugged in, or signed before, and can sign (again) at `now`: its key
// is held, it is neither retired nor tainted, and it is valid. Null for none.
const StoredAuthority* UsableIssuing(const AuthoritiesAndBundle& state, const std::string& root_id, absl::Time now);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_ROTATION_CHANGE_H_
