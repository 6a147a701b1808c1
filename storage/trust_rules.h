// The rules of authorities, JWT keys, bundles and rotations: a change must have been computed from the revision that it
// replaces, bundle numbers only grow, only one rotation runs at a time, and the MAC of every row that is read must fit.
#ifndef MESHCA_STORAGE_TRUST_RULES_H_
#define MESHCA_STORAGE_TRUST_RULES_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ca/authority/authority_store.h"
#include "ca/authority/key_encryption.h"
#include "storage/tables.h"

namespace meshca::storage {

// All functions run inside a transaction of the caller. DataLoss: a MAC does not fit.
absl::StatusOr<AuthoritiesAndBundle> LoadTrust(Tables& tables, const KeyEncryption& keys);
// See AuthorityStore::CommitAuthorities, also for the errors. Returns the new revision.
absl::StatusOr<uint64_t> ApplyAuthorityChange(Tables& tables, const KeyEncryption& keys, const AuthorityChange& change);
// Verifies every bundle, with its JWT keys, and every rotation, old ones too. For CheckStored.
absl::Status VerifyBundles(Tables& tables, const KeyEncryption& keys);
absl::Status VerifyRotations(Tables& tables, const KeyEncryption& keys);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_TRUST_RULES_H_
