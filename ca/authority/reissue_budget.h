// How fast a rotation may replace the keys of subscribers.
#ifndef MESHCA_CA_AUTHORITY_REISSUE_BUDGET_H_
#define MESHCA_CA_AUTHORITY_REISSUE_BUDGET_H_

#include <cstdint>

namespace meshca {

// New keys a second for RotationDriver::Parts: what the operator `wanted`, or, where he left it at 0, a tenth of the
// certificates that `cores` sign and record. Whoever asks for a certificate of his own meanwhile gets the other nine.
double ReissuePerSecond(uint32_t wanted, int cores);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_REISSUE_BUDGET_H_
