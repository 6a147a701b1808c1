// The folder in which a process keeps what nobody else may read.
#ifndef MESHCA_CA_BASE_PRIVATE_FOLDER_H_
#define MESHCA_CA_BASE_PRIVATE_FOLDER_H_

#include <string>

#include "absl/status/status.h"

namespace meshca {

// Makes the state directory `folder` where it is missing, and what is missing above it, each with mode 0700 and safe
// from power loss. A folder that is there stays as it is. Errors: as errno says, naming the folder; where this user may
// not make it, with what to do.
absl::Status MakePrivateFolder(const std::string& folder);

}  // namespace meshca

#endif  // MESHCA_CA_BASE_PRIVATE_FOLDER_H_
