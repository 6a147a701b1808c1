// Makes the first key of JWT-SVIDs in a database that has none, and publishes again what a bundle lacks.
#ifndef MESHCA_CA_AUTHORITY_JWT_KEY_MENDING_H_
#define MESHCA_CA_AUTHORITY_JWT_KEY_MENDING_H_

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ca/authority/authority_ledger.h"
#include "ca/authority/authority_maker.h"

namespace meshca {

// Commits one change if JwtKeysFault finds something wrong with the ledger's state: at the first start with a database
// that an earlier meshca made, or went on with. The first key signs at once: before it nobody can have believed tokens
// of this trust domain. Does nothing where the trust domain has not begun. One thread at a time. Errors: the store's
// and the key store's.
absl::Status CommitMendedJwtKeys(AuthorityLedger& ledger, const AuthorityMaker& maker, absl::Time now);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_JWT_KEY_MENDING_H_
