// Converts authorities into database rows and back, and opens the private key that a row refers to.
#ifndef MESHCA_CA_AUTHORITY_AUTHORITY_ROWS_H_
#define MESHCA_CA_AUTHORITY_AUTHORITY_ROWS_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/authority/authority_store.h"
#include "ca/authority/signing_authority.h"
#include "ca/x509/certificate.h"
#include "ca/x509/key_store.h"
#include "ca/x509/signing_key.h"

namespace meshca {

// Beginning of StoredAuthority::key_reference for a plugged-in key; the folder follows. Any other reference was made by
// the KeyStore, but for kExportedKey (exported_authority.h).
inline constexpr absl::string_view kFileKeyPrefix = "file:";

// A row without a key. `upstream` holds the certificates from `certificate` to a root, nearest first, root left out.
// `created_at` is `now`; so is `activated_at` if the state is active.
StoredAuthority MakeRow(AuthorityRole role, AuthorityState state, const Certificate& certificate,
                        const std::vector<Certificate>& upstream, absl::string_view root_id, absl::Time now);

// Puts the key into the row in the KeyStore's form. It is bound to this authority, role and certificate: from another
// row it does not open.
absl::Status PutKey(const NewKey& key, StoredAuthority& row);

// The private key that `row` refers to. DataLoss: it does not open, or does not belong to this certificate.
// FailedPrecondition: meshca does not hold the key. For "file:" keys also LoadPluggedInKey's errors.
absl::StatusOr<std::shared_ptr<const SigningKey>> OpenKey(KeyStore& keys, const StoredAuthority& row);

// The KeyStore's keys that `change` removes from the rows of `state`. They are to be destroyed after the commit.
std::vector<StoredKey> KeysGivenUp(const AuthoritiesAndBundle& state, const AuthorityChange& change);

// The row as an authority, without its key. DataLoss: what is stored is not a certificate, or its key is not the one
// that the row's id names.
absl::StatusOr<SigningAuthority> ToAuthority(const StoredAuthority& row);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_AUTHORITY_ROWS_H_
