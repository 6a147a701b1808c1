#include "ca/authority/reissue_budget.h"

namespace meshca {
namespace {

// A tenth of the certificates that one core signs and records.
constexpr double kPerCore = 500;

}  // namespace

double ReissuePerSecond(uint32_t wanted, int cores) { return wanted > 0 ? wanted : kPerCore * cores; }

}  // namespace meshca
