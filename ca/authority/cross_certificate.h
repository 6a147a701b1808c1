// The cross-certificate of a new root: a certificate for its key by the root before, and which chains carry it.
//
// It leads a verifier that holds the old root alone to what the new one signs. It costs something, too: once the old
// root is no longer trusted, a verifier that does not look for a shorter way (Java's CertPathValidator) refuses a chain
// that ends with it, until the holder of that chain renews. So leaves carry it only where somebody may need it: see
// MayHoldOldRootAlone in rotation_evidence.h. The CA's own TLS certificate carries it in every rotation.
#ifndef MESHCA_CA_AUTHORITY_CROSS_CERTIFICATE_H_
#define MESHCA_CA_AUTHORITY_CROSS_CERTIFICATE_H_

#include <string>
#include <vector>

#include "ca/authority/authority_snapshot.h"
#include "ca/authority/authority_store.h"
#include "ca/x509/certificate.h"

namespace meshca {

// Whether the chain of `root` holds a cross-certificate.
bool IsCrossCertified(const StoredAuthority& root);

// `row`, which is `root` or stands under it, without the certificates that lead from its root's key to another root.
StoredAuthority WithoutCross(StoredAuthority row, const StoredAuthority& root);

// The certificates behind that of a new issuing authority under `root`, nearest first, as DER. With the root's
// cross-certificate, unless the newest authority that has signed under this root stands without it: a successor's
// chains are no longer than those it follows.
std::vector<std::string> UpstreamOfSuccessor(const AuthoritiesAndBundle& state, const StoredAuthority& root);

// The cross-certificate of the root that signs, while a rotation runs; empty: there is none, or no authority signs.
std::vector<Certificate> FindCross(const AuthoritySnapshot& snapshot);

// Whether the chains of the leaves that are signed now carry FindCross().
bool LeavesCarryCross(const AuthoritySnapshot& snapshot);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_CROSS_CERTIFICATE_H_
