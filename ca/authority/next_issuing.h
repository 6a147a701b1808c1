// The issuing authority that will sign after the next step of a rotation.
#ifndef MESHCA_CA_AUTHORITY_NEXT_ISSUING_H_
#define MESHCA_CA_AUTHORITY_NEXT_ISSUING_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/authority/authority_maker.h"
#include "ca/authority/authority_snapshot.h"
#include "ca/authority/authority_store.h"
#include "ca/x509/key_store.h"

namespace meshca {

// Under a root whose key meshca holds, it is made new, with a key of its own. Under any other root it is one that
// exists already: it was plugged in with the root, or signed under it before.
//
// Prepare runs before the change that activates the authority (AuthorityLedger::Change), because that change may be
// computed several times and the key must be generated only once. One thread at a time.
class NextIssuing {
 public:
  // Generates a key if `snapshot` says that meshca holds the key of root `root_id`. `maker` outlives the result.
  // Errors: AuthorityMaker's.
  static absl::StatusOr<NextIssuing> Prepare(const AuthorityMaker& maker, const AuthoritySnapshot& snapshot,
                                             std::string root_id);

  const std::string& root_id() const { return root_id_; }

  // The row of the authority, made or found in `state`. FailedPrecondition: meshca holds neither the root's key nor an
  // issuing authority under it that can sign. Aborted: by `state` a new key is needed, but by the snapshot it was not;
  // call Prepare again. DataLoss: `state` does not know the root.
  absl::StatusOr<StoredAuthority> RowFor(const AuthoritiesAndBundle& state, absl::Time now) const;

 private:
  NextIssuing(const AuthorityMaker& maker, std::string root_id) : maker_(&maker), root_id_(std::move(root_id)) {}

  const AuthorityMaker* maker_;
  std::string root_id_;
  std::unique_ptr<NewKey> key_;  // null: none was needed
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_NEXT_ISSUING_H_
