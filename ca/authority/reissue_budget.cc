#include "ca/authority/reissue_budget.h"

namespace meshca {
namespace {

// A tenth of the certificates that one core signs and records: 12,000 a second of a client that asks for one after
// another, more of an agent's batches (test/bench).
constexpr double kPerCore = 1000;

}  // namespace

double ReissuePerSecond(uint32_t wanted, int cores) { return wanted > 0 ? wanted : kPerCore * cores; }

}  // namespace meshca
