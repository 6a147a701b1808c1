// Computes what to commit for each step of a root rotation. Each step is one transaction of the AuthorityStore.
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

// All functions are pure and make neither keys nor certificates: they take what the store holds and return what to
// commit. The first audit entry names the step: root.prepare, root.publish, root.activate, root.drain, root.retire,
// root.done, root.abort, root.rollback.
//
// FailedPrecondition if `state` has no rotation at the step where the function begins, so no step is done twice.

// The new root and, if it was plugged in with one, the issuing authority under it: rows with their keys in place, made
// by AuthorityMaker or SetAdoption. A root whose key meshca holds needs no issuing authority here: one is made when the
// root is activated (NextIssuing).
struct NewRoot {
  StoredAuthority root;
  std::optional<StoredAuthority> issuing;
};

// Whether the leaves that a new root's issuing authority signs carry the root's cross-certificate, if it has one.
enum class LeafChains { kWithoutCross, kWithCross };

// -> prepare: stores the new root and the rotation, publishes nothing. In an emergency the present root and all
// authorities under it are tainted. FailedPrecondition: a rotation runs already (ROTATION_RUNS), no root is active, or
// the new root is the active one.
absl::StatusOr<AuthorityChange> PrepareRotation(const AuthoritiesAndBundle& state, const TrustDomain& domain,
                                                NewRoot root, const RotationOptions& options,
                                                const ChangeReason& reason);
// prepare -> distribute: the bundle holds both roots, the old one first.
absl::StatusOr<AuthorityChange> PublishRotation(const AuthoritiesAndBundle& state, const TrustDomain& domain,
                                                const ChangeReason& reason);
// distribute -> reissue: `issuing`, under the new root, signs from now on, with `chains` behind its leaves; the new
// root comes first in the bundle. `forced` is added to RootRotation::forced: "" if the evidence was complete, else who
// forced the step and whom it cut off.
absl::StatusOr<AuthorityChange> ActivateRotation(const AuthoritiesAndBundle& state, const TrustDomain& domain,
                                                 StoredAuthority issuing, LeafChains chains, const std::string& forced,
                                                 const ChangeReason& reason);
// reissue -> drain.
absl::StatusOr<AuthorityChange> DrainRotation(const AuthoritiesAndBundle& state, const TrustDomain& domain,
                                              const ChangeReason& reason);
// reissue or drain -> retire: the old root leaves the bundle; it and all authorities under it are retired and their
// keys destroyed; the cross-certificate leaves the chains. `forced` as above.
absl::StatusOr<AuthorityChange> RetireRotation(const AuthoritiesAndBundle& state, const TrustDomain& domain,
                                               const std::string& forced, const ChangeReason& reason);
// retire -> done. `forced` as above.
absl::StatusOr<AuthorityChange> FinishRotation(const AuthoritiesAndBundle& state, const TrustDomain& domain,
                                               const std::string& forced, const ChangeReason& reason);
// prepare or distribute -> nothing: the new root's certificate leaves the bundle, and its rows and the rotation's are
// deleted; other certificates of its key, which were trusted before, stay. A root that was trusted before stays
// trusted, and is old again if it signed or what is under it was exported. One that is tainted leaves the bundle
// whatever it was, with every certificate of its key, and is retired with all under it. The audit entry's detail goes
// on with whether it is trusted.
absl::StatusOr<AuthorityChange> AbortRotation(const AuthoritiesAndBundle& state, const TrustDomain& domain,
                                              const ChangeReason& reason);
// reissue or drain -> reissue with the two roots exchanged: `issuing`, under the old root, signs again.
absl::StatusOr<AuthorityChange> RollBackRotation(const AuthoritiesAndBundle& state, const TrustDomain& domain,
                                                 StoredAuthority issuing, const ChangeReason& reason);
// The step stays; from now on the rotation is automatic and has what `options` adds. If that is an emergency (possible
// before activation only), the old root and all under it are tainted.
absl::StatusOr<AuthorityChange> TakeOverRotation(const AuthoritiesAndBundle& state, const TrustDomain& domain,
                                                 const RotationOptions& options, const ChangeReason& reason);
// The step stays; RootRotation::external_confirmed becomes true.
absl::StatusOr<AuthorityChange> ConfirmExternal(const AuthoritiesAndBundle& state, const TrustDomain& domain,
                                                const ChangeReason& reason);
// Taints authority `id`, whose key is considered stolen.
absl::StatusOr<AuthorityChange> TaintAuthority(const AuthoritiesAndBundle& state, const TrustDomain& domain,
                                               const std::string& id, const ChangeReason& reason);

// The rotation of `state` that has not ended; null: none runs.
const RootRotation* RunningRotation(const AuthoritiesAndBundle& state);
// The newest issuing authority under `root_id` that can sign at `now`: its key is held, it is valid, and it is neither
// retired nor tainted. Null: there is none.
const StoredAuthority* UsableIssuing(const AuthoritiesAndBundle& state, const std::string& root_id, absl::Time now);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_ROTATION_CHANGE_H_
