// Computes what to commit for each change of the authorities. Each change is one transaction of the AuthorityStore.
#ifndef MESHCA_CA_AUTHORITY_AUTHORITY_CHANGE_H_
#define MESHCA_CA_AUTHORITY_AUTHORITY_CHANGE_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/authority/authority_source.h"
#include "ca/authority/authority_store.h"
#include "ca/spiffe/trust_domain.h"

namespace meshca {

// All functions are pure: they take what the store holds and return what to commit. In every result at most one
// authority of each role is active, and the bundle starts with the active root. The change holds a bundle only if the
// roots differ from the published ones.

// A root and an issuing authority that are to become active: rows with their keys in place, state active.
struct AuthorityRows {
  StoredAuthority root;
  StoredAuthority issuing;
  std::vector<std::string> more_roots_der;  // roots to trust beside `root`
};

// The actor in the audit log of a change that no operator ordered.
inline constexpr char kMeshcaItself[] = "meshca";

// Who makes a change, why and when, for the audit log.
struct ChangeReason {
  std::string actor;
  std::string detail;
  absl::Time now;
};

// The active row of this role, or the row with this id; null: there is none. The pointers are into `state`.
const StoredAuthority* FindActive(const AuthoritiesAndBundle& state, AuthorityRole role);
const StoredAuthority* FindById(const AuthoritiesAndBundle& state, absl::string_view id);

// `rows` become active, and what was active becomes old. With `drop_old_roots` every root trusted until now leaves the
// bundle and all old authorities are retired: only to be used when no live certificate depends on them.
AuthorityChange ChangeToRows(const AuthoritiesAndBundle& state, const TrustDomain& domain, AuthorityRows rows,
                             bool drop_old_roots, const ChangeReason& reason);

// `issuing` becomes active under the present root; the issuing authority that was active becomes old.
AuthorityChange ChangeIssuing(const AuthoritiesAndBundle& state, const TrustDomain& domain, StoredAuthority issuing,
                              const ChangeReason& reason);

// Retires authority `id` and removes its key from the row. For an authority of whose certificates none is alive.
AuthorityChange RetireAuthority(const AuthoritiesAndBundle& state, const TrustDomain& domain, absl::string_view id,
                                const ChangeReason& reason);

// --- The parts that changes are made of; rotation_change.cc uses them too. ---

AuthorityChange StartChange(const AuthoritiesAndBundle& state, const TrustDomain& domain);
AuditEntry MakeAudit(absl::string_view action, absl::string_view target, const ChangeReason& reason);
// `row` in state `state`; a retired row loses its key.
StoredAuthority WithState(StoredAuthority row, AuthorityState state, absl::Time now);
// Adds to `change` that the active authority of `next`'s role goes into state `to`, unless it is `next` itself.
void Displace(const AuthoritiesAndBundle& state, const StoredAuthority& next, AuthorityState to, absl::Time now,
              AuthorityChange& change);
void AddUnique(std::vector<std::string>& roots, const std::string& der);
// Removes every certificate of `root`'s key from `roots`: older certificates of the same key would be believed as well.
void RemoveRoot(std::vector<std::string>& roots, const StoredAuthority& root);
// Whether a set of authorities may bring `root` into the bundle. False for a root that was retired or tainted here: it
// must not come back because a file still lists it.
bool MayBeTrusted(const AuthoritiesAndBundle& state, const Certificate& root);
// Adds a bundle of `roots` with the next sequence number to `change`, unless these roots are published already. Its JWT
// keys are those of the bundle before.
void PublishRoots(const AuthoritiesAndBundle& state, std::vector<std::string> roots, absl::Time now,
                  AuthorityChange& change);

// The bundle's sequence number after a restore: max(stored + 2^32, Unix time in seconds), which is above every number
// that the lost database can have given out.
uint64_t SequenceAfterRestore(const AuthoritiesAndBundle& state, absl::Time now);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_AUTHORITY_CHANGE_H_
