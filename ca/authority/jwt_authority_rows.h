// Makes keys of JWT-SVIDs, converts them into database rows and back, and opens the private key of a row.
#ifndef MESHCA_CA_AUTHORITY_JWT_AUTHORITY_ROWS_H_
#define MESHCA_CA_AUTHORITY_JWT_AUTHORITY_ROWS_H_

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/authority/authority_store.h"
#include "ca/authority/jwt_authority.h"
#include "ca/x509/key_store.h"

namespace meshca {

// A new P-256 key as a row in state prepared, its private key in the KeyStore's form. It is bound to its key_id: from
// another row it does not open. No key_id begins with "-", so that it can be typed after a command. Nothing is stored:
// the row takes effect with the AuthorityChange that carries it. Internal: OpenSSL or the key store.
absl::StatusOr<StoredJwtAuthority> MakeJwtAuthority(KeyStore& keys, absl::Time now);

// The private key of `row`, which is not retired. DataLoss: it does not open, or is another key's.
absl::StatusOr<std::shared_ptr<const JwtSigner>> OpenJwtKey(KeyStore& keys, const StoredJwtAuthority& row);

// The row as an authority. DataLoss: what is stored is no public key, or not the one that key_id names.
absl::StatusOr<JwtAuthority> ToJwtAuthority(const StoredJwtAuthority& row);

// The active row; null: there is none. The pointer is into `rows`.
const StoredJwtAuthority* FindActiveJwt(const std::vector<StoredJwtAuthority>& rows);
// The row with this key_id; null: there is none.
const StoredJwtAuthority* FindJwtKey(const std::vector<StoredJwtAuthority>& rows, absl::string_view key_id);
// The row in state prepared, of which there is one at most; null: there is none.
const StoredJwtAuthority* FindPreparedJwt(const std::vector<StoredJwtAuthority>& rows);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_JWT_AUTHORITY_ROWS_H_
