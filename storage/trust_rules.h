// What keeps the CA's trust whole, whatever the database: a change is judged on the revision it will be written over,
// bundles only grow, one rotation runs at a time, every row that is read has a MAC that fits.
#ifndef MESHCA_STORAGE_TRUST_RULES_H_
#define MESHCA_STORAGE_TRUST_RULES_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ca/authority/authority_store.h"
#include "ca/authority/key_encryption.h"
#include "storage/tables.h"

namespace meshca::storage {

// Inside a transaction of the caller, all of them. DataLoss: a MAC does not fit.
absl::StatusOr<AuthoritiesAndBundle> LoadTrust(Tables& tables, const KeyEncryption& keys);
// AuthorityStore::CommitAuthorities, which says the errors; the new revision.
absl::StatusOr<uint64_t> ApplyAuthorityChange(Tables& tables, const KeyEncryption& keys, const AuthorityChange& change);
// Verifies every bundle and every rotation, old ones too. For CheckStored.
absl::Status VerifyBundles(Tables& tables, const KeyEncryption& keys);
absl::Status VerifyRotations(Tables& tables, const KeyEncryption& keys);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_TRUST_RULES_H_
