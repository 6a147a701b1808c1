// Issuing authorities under our root whose key somebody else holds: `meshca root export` made them, for another CA.
#ifndef MESHCA_CA_AUTHORITY_EXPORTED_AUTHORITY_H_
#define MESHCA_CA_AUTHORITY_EXPORTED_AUTHORITY_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/authority/authority_change.h"
#include "ca/authority/authority_maker.h"
#include "ca/authority/authority_options.h"
#include "ca/authority/authority_store.h"
#include "ca/authority/signing_authority.h"
#include "ca/spiffe/trust_domain.h"
#include "ca/x509/certificate.h"
#include "ca/x509/public_key.h"

namespace meshca {

// StoredAuthority::key_reference of such an authority while its key is not here. It is in state old from the beginning:
// trusted, and signs nothing here. What it signs elsewhere is unknown, so until it ends it counts in a rotation like a
// certificate that is alive. An import of it together with its key makes it sign here, and count no less.
inline constexpr absl::string_view kExportedKey = "exported";

// Rows of before schema version 9 say it by the place of their key alone.
inline bool WasExported(const StoredAuthority& row) { return row.exported || row.key_reference == kExportedKey; }

// Whether it signs elsewhere alone.
inline bool SignsElsewhere(const SigningAuthority& authority) { return authority.key_reference == kExportedKey; }

// How many exported authorities of `state` do not chain to `root_id`. Those that are retired, because they
// have ended, do not count.
uint64_t CountExportedOutside(const AuthoritiesAndBundle& state, absl::string_view root_id);

// What an operator asks for. Whoever has the private key has proved it (Csr).
struct ExportRequest {
  PublicKey key;
  // Zero: that of meshca's own issuing authorities, or until the root ends where that is sooner.
  absl::Duration lifetime;
};

// What he gets.
struct ExportedSet {
  SigningAuthority authority;
  std::vector<Certificate> roots;  // all that are trusted, the present one first
};

// A certificate for `request`'s key under the active root of `state`, with pathLenConstraint 0, as a row in state old.
// The root's key is opened to sign it, and wiped. Errors, all before anything is signed:
//   InvalidArgument     (LIFETIME_INVALID) shorter than twice the longest leaf lifetime, or longer than the root lives
//   AlreadyExists       an authority with this key is known
//   FailedPrecondition  (ROTATION_RUNS) a rotation runs; (ROOT_TAINTED) the root's key is taken for stolen;
//                       (ROOT_KEY_ELSEWHERE) meshca does not hold it; no root is active; the root leaves no room
absl::StatusOr<StoredAuthority> MakeExported(const AuthorityMaker& maker, const AuthorityOptions& options,
                                             const AuthoritiesAndBundle& state, const ExportRequest& request,
                                             absl::Time now);

// Stores `row`, which MakeExported made. The trust bundle stays as it is.
AuthorityChange AddExported(const AuthoritiesAndBundle& state, const TrustDomain& domain, StoredAuthority row,
                            const ChangeReason& reason);

// `row` and the roots of `state` for whoever asked. DataLoss: what is stored cannot be read.
absl::StatusOr<ExportedSet> ToExportedSet(const AuthoritiesAndBundle& state, const StoredAuthority& row);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_EXPORTED_AUTHORITY_H_
