#include "ca/issuance/authority_import.h"

#include "ca/base/status.h"
#include "ca/issuance/server_certificate.h"

namespace meshca {

absl::Status ImportAuthoritySet(AuthorityManager& authorities, IssuanceStore& store, absl::Time now,
                                const SetFiles& files, const std::string& actor, ImportOptions options) {
  MESHCA_ASSIGN_OR_RETURN(options.own_leaves,
                          CountLiveServerCertificates(store, authorities.options().trust_domain, now));
  return authorities.Import(files, actor, options);
}

}  // namespace meshca
