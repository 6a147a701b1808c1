#include "ca/authority/self_signed_source.h"

#include "ca/base/status.h"

namespace meshca {

absl::StatusOr<AuthoritySet> SelfSignedSource::Load(absl::Time now) {
  AuthoritySet set;
  MESHCA_ASSIGN_OR_RETURN(set.new_key, maker_.GenerateKey());
  MESHCA_ASSIGN_OR_RETURN(set.root, maker_.MakeRootCertificate(*set.new_key, now));
  return set;
}

}  // namespace meshca
