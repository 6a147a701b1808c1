// From authorities to rows and back: what is stored, and how its private key is opened.
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

// StoredAuthority::key_reference of a plugged-in key: the folder follows. Every other reference is the KeyStore's.
inline constexpr absl::string_view kFileKeyPrefix = "file:";

// A row for `certificate` and what leads from it to a root, without a key. `created_at` is `now`, and `activated_at`
// too when it is active.
StoredAuthority MakeRow(AuthorityRole role, AuthorityState state, const Certificate& certificate,
                        const std::vector<Certificate>& upstream, absl::string_view root_id, absl::Time now);

// Puts the key into the row, kept for this authority, role and certificate: it opens for no other row.
absl::Status PutKey(const NewKey& key, StoredAuthority& row);

// The private key that `row` refers to. DataLoss: it does not open, or is not this certificate's. FailedPrecondition:
// meshca does not hold it. For "file:" keys, the errors of plugged_in_ca.h.
absl::StatusOr<std::shared_ptr<const SigningKey>> OpenKey(KeyStore& keys, const StoredAuthority& row);

// The keys of the KeyStore that `change` takes away from the rows of `state`: nothing signs with them once it is
// committed.
std::vector<StoredKey> KeysGivenUp(const AuthoritiesAndBundle& state, const AuthorityChange& change);

// The row as an authority, without its key. DataLoss: what is stored is no certificate, or not the one its id names.
absl::StatusOr<SigningAuthority> ToAuthority(const StoredAuthority& row);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_AUTHORITY_ROWS_H_
