// Times as people say them.
#ifndef MESHCA_CLI_PEOPLE_TIME_H_
#define MESHCA_CLI_PEOPLE_TIME_H_

#include <string>

#include "absl/time/time.h"

namespace meshca::cli {

// "42 s", "12 min", "12 h", "3 days": one unit, rounded. Below a second, negative ones included: "under a second".
// Infinite: "for ever".
std::string ShortDuration(absl::Duration duration);

}  // namespace meshca::cli

#endif  // MESHCA_CLI_PEOPLE_TIME_H_
