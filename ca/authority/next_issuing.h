// The issuing authority that a rotation is about to let sign.
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

// Under a root whose key is held here it is made new, with a key of its own. Under any other root it is one that exists
// already: the one that was plugged in with the root, or that signed under it before.
//
// Made before the change that activates it, because that is when its key is generated: once, however often the change
// is judged again.
class NextIssuing {
 public:
  // Generates the key, where one is needed under the root `root_id` of `snapshot`. `maker` outlives it.
  static absl::StatusOr<NextIssuing> Prepare(const AuthorityMaker& maker, const AuthoritySnapshot& snapshot,
                                             std::string root_id);

  const std::string& root_id() const { return root_id_; }

  // Its row, as `state` asks for it. FailedPrecondition: neither the root's key is held nor an issuing authority under
  // it that can sign. Aborted: `state` needs a key and the snapshot did not; prepare it again. DataLoss: `state` does
  // not know the root.
  absl::StatusOr<StoredAuthority> RowFor(const AuthoritiesAndBundle& state, absl::Time now) const;

 private:
  NextIssuing(const AuthorityMaker& maker, std::string root_id) : maker_(&maker), root_id_(std::move(root_id)) {}

  const AuthorityMaker* maker_;
  std::string root_id_;
  std::unique_ptr<NewKey> key_;  // null: none was needed
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_NEXT_ISSUING_H_
