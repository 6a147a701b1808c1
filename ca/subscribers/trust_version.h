// What evidence counts: the version of the trust that somebody holds.
#ifndef MESHCA_CA_SUBSCRIBERS_TRUST_VERSION_H_
#define MESHCA_CA_SUBSCRIBERS_TRUST_VERSION_H_

#include <cstdint>

namespace meshca {

// A version of all that is trusted here, as one value. It only grows: whoever holds version n has seen everything up to
// n and nothing after it. 0: none. It goes on from TrustBundle::sequence_number, and is that today; the database and
// admin.proto keep calling it the bundle sequence.
using TrustVersion = uint64_t;

}  // namespace meshca

#endif  // MESHCA_CA_SUBSCRIBERS_TRUST_VERSION_H_
