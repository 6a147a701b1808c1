#include "ca/authority/next_issuing.h"

#include "absl/strings/str_cat.h"
#include "ca/authority/authority_lookup.h"
#include "ca/authority/rotation_change.h"
#include "ca/base/status.h"

namespace meshca {

absl::StatusOr<NextIssuing> NextIssuing::Prepare(const AuthorityMaker& maker, const AuthoritySnapshot& snapshot,
                                                 std::string root_id) {
  NextIssuing next(maker, std::move(root_id));
  for (const SigningAuthority& authority : snapshot.authorities) {
    if (authority.id != next.root_id_ || authority.key_reference.empty()) continue;
    MESHCA_ASSIGN_OR_RETURN(next.key_, maker.GenerateKey());
  }
  return next;
}

absl::StatusOr<StoredAuthority> NextIssuing::RowFor(const AuthoritiesAndBundle& state, absl::Time now) const {
  const StoredAuthority* root = FindById(state, root_id_);
  if (root == nullptr) return absl::DataLossError(absl::StrCat("root ", root_id_, " is not in the database"));
  if (!root->key_reference.empty()) {
    if (key_ != nullptr) return maker_->MakeIssuing(*key_, state, *root, now);
    // Another server has taken in the root's key since the snapshot was made.
    return absl::AbortedError(absl::StrCat("the key of root ", root_id_.substr(0, 16), " has just come: try again"));
  }
  const StoredAuthority* usable = UsableIssuing(state, root_id_, now);
  if (usable != nullptr) return *usable;
  return absl::FailedPreconditionError(
      absl::StrCat("root ", root_id_.substr(0, 16),
                   ": meshca holds neither its key nor a valid issuing authority under "
                   "it: put a set with both into the plugged-in CA's folder"));
}

}  // namespace meshca
