// How fast a rotation may replace the keys of subscribers.
#ifndef MESHCA_CA_AUTHORITY_REISSUE_BUDGET_H_
#define MESHCA_CA_AUTHORITY_REISSUE_BUDGET_H_

#include <cstdint>

namespace meshca {

// New keys a second for RotationDriver::Parts: what the operator `wanted`, or, where that is 0, a tenth of the
// certificates that so many `cores` can sign and record in a second. The other nine tenths stay for those who ask for a
// certificate of their own while the rotation runs.
double ReissuePerSecond(uint32_t wanted, int cores);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_REISSUE_BUDGET_H_
