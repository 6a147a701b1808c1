// The trust domain of the tests' CAs.
#ifndef MESHCA_TEST_CA_SPIFFE_TEST_DOMAIN_H_
#define MESHCA_TEST_CA_SPIFFE_TEST_DOMAIN_H_

#include "ca/spiffe/trust_domain.h"

namespace meshca {

inline TrustDomain TestDomain() { return *TrustDomain::Parse("cluster.local"); }

}  // namespace meshca

#endif  // MESHCA_TEST_CA_SPIFFE_TEST_DOMAIN_H_
