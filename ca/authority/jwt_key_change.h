// Computes what to commit for each change of the keys of JWT-SVIDs. Each change is one transaction of the
// AuthorityStore.
#ifndef MESHCA_CA_AUTHORITY_JWT_KEY_CHANGE_H_
#define MESHCA_CA_AUTHORITY_JWT_KEY_CHANGE_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/authority/authority_change.h"
#include "ca/authority/authority_store.h"
#include "ca/spiffe/trust_domain.h"

namespace meshca {

// All functions are pure and make no keys: they take what the store holds, and rows made by MakeJwtAuthority, and
// return what to commit. In every result at most one key is active and at most one is prepared, and the bundle holds
// exactly the keys that are not retired, in the order in which they were made: a key that changes from prepared to
// active, or from active to old, is no new bundle, so nobody has to be told.
//
// The first audit entry names the change: jwt.publish, jwt.activate, jwt.retire, jwt.taint, jwt.mend.

// `row` is published, and signs nothing yet. FailedPrecondition (JWT_ROTATION_RUNS): a prepared key is there already.
absl::StatusOr<AuthorityChange> PublishJwtKey(const AuthoritiesAndBundle& state, const TrustDomain& domain,
                                              StoredJwtAuthority row, const ChangeReason& reason);

// The prepared key `key_id` signs from now on, and the one that signed until now becomes old. FailedPrecondition
// (JWT_KEY_STATE): it is not prepared any more.
absl::StatusOr<AuthorityChange> ActivateJwtKey(const AuthoritiesAndBundle& state, const TrustDomain& domain,
                                               absl::string_view key_id, const ChangeReason& reason);

// The old key `key_id` leaves the bundle, and its private key is destroyed. FailedPrecondition (JWT_KEY_STATE): it is
// not old.
absl::StatusOr<AuthorityChange> RetireJwtKey(const AuthoritiesAndBundle& state, const TrustDomain& domain,
                                             absl::string_view key_id, const ChangeReason& reason);

// Whether tainting the key `key_id` needs a new one to sign in its place: it is active and none is prepared.
bool NeedsSuccessor(const AuthoritiesAndBundle& state, absl::string_view key_id);

// Key `key_id` is considered stolen: it leaves the bundle and is retired. If it was the active one, the prepared key
// takes over at once, or `next` if there is none. FailedPrecondition: it is tainted or retired already (JWT_KEY_STATE).
// NotFound: it is not known. Aborted: by `state` it NeedsSuccessor, and there is no `next`.
absl::StatusOr<AuthorityChange> TaintJwtKey(const AuthoritiesAndBundle& state, const TrustDomain& domain,
                                            absl::string_view key_id, std::optional<StoredJwtAuthority> next,
                                            const ChangeReason& reason);

// What is wrong with the keys of `state`, so that MendJwtKeys has to be committed: for people, and for the audit log.
// "": nothing is. A database that an earlier meshca wrote has no key, and one that it went on writing lacks them in the
// bundle.
std::string JwtKeysFault(const AuthoritiesAndBundle& state);
// Whether mending needs a new key: none is active or prepared.
bool NeedsFirstJwtKey(const AuthoritiesAndBundle& state);
// A key signs (`next`, where NeedsFirstJwtKey), and the bundle holds the keys that it has to hold. Aborted: `next` is
// needed and not there.
absl::StatusOr<AuthorityChange> MendJwtKeys(const AuthoritiesAndBundle& state, const TrustDomain& domain,
                                            std::optional<StoredJwtAuthority> next, const ChangeReason& reason);

// --- Parts of changes of the authorities that concern the keys of JWT-SVIDs too. ---

// Adds to the first change of a trust domain, whose bundle stands in it, that `row` signs JWT-SVIDs.
void AddFirstJwtKey(StoredJwtAuthority row, const ChangeReason& reason, AuthorityChange& change);

// After a restore, to `change`, whose bundle has the restored number. The lost database may know that the present key
// was stolen, so another takes over on evidence: `next`, unless one is prepared. What subscribers acknowledged before
// proves nothing of what was published since, so its evidence begins anew. Nothing to do where no key is active.
void RestartJwtKeys(const AuthoritiesAndBundle& state, std::optional<StoredJwtAuthority> next,
                    const ChangeReason& reason, AuthorityChange& change);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_JWT_KEY_CHANGE_H_
