// Checks that resolve.h's functions share.
#ifndef MESHCA_CLI_CONFIG_VALIDATE_H_
#define MESHCA_CLI_CONFIG_VALIDATE_H_

#include "cli/config/faults.h"
#include "cli/config/resolve.h"

namespace meshca::config {

// The sockets' paths fit sun_path and are two.
void CheckSockets(const ResolvedConfig& config, Faults& faults);

}  // namespace meshca::config

#endif  // MESHCA_CLI_CONFIG_VALIDATE_H_
