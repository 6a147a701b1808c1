// The version number of everything that is trusted: what evidence for a root rotation is counted in.
#ifndef MESHCA_CA_SUBSCRIBERS_TRUST_VERSION_H_
#define MESHCA_CA_SUBSCRIBERS_TRUST_VERSION_H_

#include <cstdint>

namespace meshca {

// A version of everything that is trusted, as one value. It only grows: who holds version n has every change up to n
// and none after it. 0: none. Today it equals TrustBundle::sequence_number; the database and admin.proto call it the
// bundle sequence.
using TrustVersion = uint64_t;

}  // namespace meshca

#endif  // MESHCA_CA_SUBSCRIBERS_TRUST_VERSION_H_
