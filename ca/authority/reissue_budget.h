// The rate at which a rotation replaces the keys of subscribers.
#ifndef MESHCA_CA_AUTHORITY_REISSUE_BUDGET_H_
#define MESHCA_CA_AUTHORITY_REISSUE_BUDGET_H_

#include <cstdint>

namespace meshca {

// Keys a second, for RotationDriver::Parts: `wanted`, the operator's setting; if that is 0, a tenth of the certificates
// that this many `cores` can sign and record in a second. The other nine tenths are left for clients that ask for
// certificates while the rotation runs.
double ReissuePerSecond(uint32_t wanted, int cores);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_REISSUE_BUDGET_H_
