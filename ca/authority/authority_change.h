// The steps an authority store goes through, each as one transaction.
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

// Pure: each takes what the store holds and says what to commit. In every result at most one authority of each role is
// active, and the bundle starts with the active root. A bundle is part of the change only where its roots differ.

// Rows as the source or the factory made them, keys in place, state active.
struct AuthorityRows {
  StoredAuthority root;
  StoredAuthority issuing;
  std::vector<std::string> more_roots_der;
};

// The actor in the audit log where nobody ordered a change.
inline constexpr char kMeshcaItself[] = "meshca";

// Who did it and why, for the audit log.
struct ChangeReason {
  std::string actor;
  std::string detail;
  absl::Time now;
};

// The row of role `role` that is active; null for none.
const StoredAuthority* FindActive(const AuthoritiesAndBundle& state, AuthorityRole role);
const StoredAuthority* FindById(const AuthoritiesAndBundle& state, absl::string_view id);

// `rows` become active; what was active grows old. With `drop_old_roots` the roots trusted until now leave the bundle
// and are retired with their issuing authorities: only where no certificate lives under them.
AuthorityChange ChangeToRows(const AuthoritiesAndBundle& state, const TrustDomain& domain, AuthorityRows rows,
                             bool drop_old_roots, const ChangeReason& reason);

// `issuing` becomes active under the present root; the present one grows old.
AuthorityChange ChangeIssuing(const AuthoritiesAndBundle& state, const TrustDomain& domain, StoredAuthority issuing,
                              const ChangeReason& reason);

// `id` is retired: it signs no more and nothing it signed is alive.
AuthorityChange RetireAuthority(const AuthoritiesAndBundle& state, const TrustDomain& domain, absl::string_view id,
                                const ChangeReason& reason);

// --- what changes are made of ---

AuthorityChange StartChange(const AuthoritiesAndBundle& state, const TrustDomain& domain);
AuditEntry MakeAudit(absl::string_view action, absl::string_view target, const ChangeReason& reason);
// `row` in another state; one that is retired loses its key.
StoredAuthority WithState(StoredAuthority row, AuthorityState state, absl::Time now);
// What is active in `state` leaves its place to `next`, unless it is `next` itself.
void Displace(const AuthoritiesAndBundle& state, const StoredAuthority& next, AuthorityState to, absl::Time now,
              AuthorityChange& change);
void AddUnique(std::vector<std::string>& roots, const std::string& der);
// Takes every certificate of `root`'s key out of `roots`: those it had before a renewal would be believed as well.
void RemoveRoot(std::vector<std::string>& roots, const StoredAuthority& root);
// May a set that lists `root` among others bring it into the bundle? No for one that was retired or tainted here: what
// a rotation took away does not come back because a file still names it.
bool MayBeTrusted(const AuthoritiesAndBundle& state, const Certificate& root);
// Publishes `roots` where they are not what is published already.
void PublishRoots(const AuthoritiesAndBundle& state, std::vector<std::string> roots, absl::Time now,
                  AuthorityChange& change);

// The bundle's number after a restore: above every number the lost database can have given out.
// max(stored + 2^32, Unix time).
uint64_t SequenceAfterRestore(const AuthoritiesAndBundle& state, absl::Time now);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_AUTHORITY_CHANGE_H_
