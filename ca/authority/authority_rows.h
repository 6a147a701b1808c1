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
#include "ca/authority/key_encryption.h"
#include "ca/authority/signing_authority.h"
#include "ca/base/entropy.h"
#include "ca/spiffe/trust_domain.h"
#include "ca/x509/signing_key.h"

namespace meshca {

inline constexpr absl::string_view kSealedKey = "sealed";
inline constexpr absl::string_view kFileKeyPrefix = "file:";

// A row for `certificate` and what leads from it to a root, without a key. `created_at` is `now`, and `activated_at`
// too when it is active.
StoredAuthority MakeRow(AuthorityRole role, AuthorityState state, const Certificate& certificate,
                        const std::vector<Certificate>& upstream, absl::string_view root_id, absl::Time now);

// Puts the key into the row, sealed for this authority, role and certificate: it opens nowhere else.
absl::Status SealKey(const KeyEncryption& keys, absl::string_view key_pkcs8, StoredAuthority& row);

// The private key that `row` refers to. DataLoss: it does not open, or is not this certificate's. FailedPrecondition:
// meshca does not hold it. For "file:" keys, the errors of plugged_in_ca.h.
absl::StatusOr<std::shared_ptr<const SigningKey>> OpenKey(const KeyEncryption& keys, const StoredAuthority& row);

// The row as an authority, without its key. DataLoss: what is stored is no certificate, or not the one its id names.
absl::StatusOr<SigningAuthority> ToAuthority(const StoredAuthority& row);

// A new issuing authority with a new key, active from `now`, its key sealed. `root`'s key is opened to sign once and
// wiped before this returns.
absl::StatusOr<StoredAuthority> MakeIssuingRow(const TrustDomain& domain, const StoredAuthority& root,
                                               const KeyEncryption& keys, KeyType key_type, absl::Time now,
                                               absl::Duration lifetime, EntropySource& entropy);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_AUTHORITY_ROWS_H_
