// An authority made elsewhere begins to sign here (`meshca root import`).
#ifndef MESHCA_CA_ISSUANCE_AUTHORITY_IMPORT_H_
#define MESHCA_CA_ISSUANCE_AUTHORITY_IMPORT_H_

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ca/authority/authority_manager.h"
#include "ca/issuance/issuance_store.h"

namespace meshca {

// AuthorityManager::Import of the set of `files`, told by the record which of the live certificates are the CA's
// own: it replaces those itself, so they are no reason to begin a rotation instead of changing over at once. `options`'
// own_leaves are overwritten. Blocks. Errors: Import's, and the store's.
absl::Status ImportAuthoritySet(AuthorityManager& authorities, IssuanceStore& store, absl::Time now,
                                const SetFiles& files, const std::string& actor, ImportOptions options);

}  // namespace meshca

#endif  // MESHCA_CA_ISSUANCE_AUTHORITY_IMPORT_H_
