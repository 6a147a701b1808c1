// A server's certificate with its key, as it stands in a Secret, and whether it may stay there. Pure functions.
#ifndef MESHCA_CA_SERVER_SECRETS_STANDING_LEAF_H_
#define MESHCA_CA_SERVER_SECRETS_STANDING_LEAF_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/authority/authority_snapshot.h"
#include "ca/base/secret.h"
#include "ca/issuance/issuance_pipeline.h"
#include "ca/issuance/issuance_store.h"
#include "ca/server_secrets/server_secret.h"
#include "ca/spiffe/spiffe_id.h"
#include "ca/x509/certificate.h"
#include "ca/x509/signing_key.h"

namespace meshca {

// For whom the certificate is.
struct ServerNames {
  SpiffeId spiffe_id;
  std::vector<std::string> dns_names;  // lower-case, sorted, each once
};

// Moves, never copies.
struct StandingLeaf {
  Certificate leaf;
  std::vector<Certificate> issuers;  // what follows it in the chain
  std::string chain_pem;
  SecretBytes key_pem;
  std::string authority_id;  // SigningAuthority::id of the signer
  std::string root_id;       // and of the root above that
  absl::Time issued_at;

  // Half of the life that it had when it was issued; what was backdated does not count.
  absl::Time RenewAt() const { return issued_at + (leaf.validity().not_after - issued_at) / 2; }
  // The content of the Secret in which it stands beside `roots_pem`.
  SecretContent ContentWith(std::string roots_pem) const;
};

// Reads what stands in a Secret. Of that the leaf and its key are taken, and no byte besides: behind the leaf comes
// what its authority sends. Its issued_at is that of no record yet, but the certificate's notBefore. InvalidArgument:
// there is no chain or no key, they do not belong together, or none of `authorities` signed it.
absl::StatusOr<StandingLeaf> ReadStandingLeaf(const SecretContent& content, const AuthoritySnapshot& authorities);

// What was issued just now for `key`. Internal: it does not lead to a trusted root, or is not for `names`.
absl::StatusOr<StandingLeaf> MakeStandingLeaf(const IssuedCertificate& issued, const SoftwareKey& key,
                                              const ServerNames& names, absl::Time now);

// Whether the inventory knows `leaf` as one that was published in this Secret (`instance`) and was not revoked. Takes
// its issued_at from there. `record`: what IssuanceStore::Find said. FailedPrecondition says why it may not stay; other
// errors are those of the store, by which nothing is decided.
absl::Status CheckRecord(const absl::StatusOr<IssuanceRecord>& record, const std::string& instance, StandingLeaf& leaf);

// Why `leaf` has to be replaced at `now`, a few words; "": it may stay. It may where it is for `names`, leads to a
// trusted root by an authority that is neither tainted nor retired, that root is the one under which new certificates
// are signed, and less than half of its life is over. While nothing signs, no root is a reason.
std::string WhyReplace(const StandingLeaf& leaf, const ServerNames& names, const AuthoritySnapshot& authorities,
                       absl::Time now);

}  // namespace meshca

#endif  // MESHCA_CA_SERVER_SECRETS_STANDING_LEAF_H_
