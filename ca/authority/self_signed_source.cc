#include "ca/authority/self_signed_source.h"

#include <memory>

#include "ca/base/status.h"
#include "ca/x509/authority_builder.h"
#include "ca/x509/signing_key.h"

namespace meshca {

absl::StatusOr<AuthoritySet> SelfSignedSource::Load(absl::Time now) {
  MESHCA_ASSIGN_OR_RETURN(std::unique_ptr<SoftwareKey> key, SoftwareKey::Generate(key_type_));
  AuthoritySet set;
  MESHCA_ASSIGN_OR_RETURN(set.root, BuildRoot(domain_, *key, now, lifetime_, entropy_));
  set.key_pkcs8 = key->ToPkcs8Der();
  return set;
}

}  // namespace meshca
