// Makes the certificates of the authorities themselves, and of the CA's own TLS endpoint. Rare work.
#ifndef MESHCA_CA_X509_AUTHORITY_BUILDER_H_
#define MESHCA_CA_X509_AUTHORITY_BUILDER_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ca/base/entropy.h"
#include "ca/spiffe/trust_domain.h"
#include "ca/x509/certificate.h"
#include "ca/x509/signing_key.h"
#include "ca/x509/validity.h"

namespace meshca {

// Authorities start this long before they are made, for verifiers whose clock is behind.
inline constexpr absl::Duration kAuthorityBackdate = absl::Hours(1);

// Authorities carry cA, keyCertSign and cRLSign (both extensions critical), a subjectKeyIdentifier, an
// authorityKeyIdentifier of a key identifier alone, and the trust domain's ID as their one URI name. Subjects are
// unique, because verifiers look issuers up by name: `CN=meshca root <first 16 hex digits of the SKI>`.
// Errors of all: Internal (OpenSSL), InvalidArgument (validity).

// A self-signed root: no pathLenConstraint. From now - kAuthorityBackdate until now + lifetime.
absl::StatusOr<Certificate> BuildRoot(const TrustDomain& domain, const SigningKey& key, absl::Time now,
                                      absl::Duration lifetime, EntropySource& entropy);

// An issuing authority under `parent`: `CN=meshca issuing <SKI prefix>`, pathLenConstraint 0, never outlives `parent`.
// FailedPrecondition: `parent` has ended at `now`, or its pathLenConstraint leaves no room.
absl::StatusOr<Certificate> BuildIssuing(const TrustDomain& domain, const PublicKey& key, const Certificate& parent,
                                         const SigningKey& parent_key, absl::Time now, absl::Duration lifetime,
                                         EntropySource& entropy);

// `root`'s subject and key certified by another root: holders of `signer` alone then verify what `root` signs. Ends
// with whichever of the two ends first. FailedPrecondition: `signer` has a pathLenConstraint below 2 or has ended.
absl::StatusOr<Certificate> BuildCrossCertificate(const TrustDomain& domain, const Certificate& root,
                                                  const Certificate& signer, const SigningKey& signer_key,
                                                  absl::Time now, EntropySource& entropy);

// What the CA's own TLS certificate is for.
struct ServerCertificateNames {
  std::vector<std::string> dns_names;
  std::vector<std::string> ip_addresses;  // textual IPv4 or IPv6
};

// The CA's own TLS server certificate: `CN=meshca server`, URI name `spiffe://td/meshca/server`, DNS and IP names,
// digitalSignature, serverAuth and clientAuth, cA false; never outlives `issuer`. Starts at now - backdate.
// InvalidArgument: a name that is no IP address or DNS name.
absl::StatusOr<Certificate> BuildServerCertificate(const TrustDomain& domain, const PublicKey& key,
                                                   const ServerCertificateNames& names, const Certificate& issuer,
                                                   const SigningKey& issuer_key, absl::Time now,
                                                   absl::Duration backdate, absl::Duration lifetime,
                                                   EntropySource& entropy);

}  // namespace meshca

#endif  // MESHCA_CA_X509_AUTHORITY_BUILDER_H_
