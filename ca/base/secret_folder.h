// A folder of secrets: made where it is missing, and judged before anything of ours is put there.
#ifndef MESHCA_CA_BASE_SECRET_FOLDER_H_
#define MESHCA_CA_BASE_SECRET_FOLDER_H_

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace meshca {

// Makes `folder` where it is missing, with what is missing above it (each 0700, and its name fsynced). One that others
// can enter has its mode set back to 0700, and the log says so, where it is known to be meshca's own: a file stands in
// it whose name begins with one of `own_files`, or nothing at all. Another, which somebody may have named by mistake
// (/tmp, /etc), keeps its mode and is refused.
// PermissionDenied (by secret_access.h): others can enter it, another user owns it, or it cannot be made;
// InvalidArgument: no folder; Unavailable. All name the path and what to do.
absl::Status PrepareSecretFolder(const std::string& folder, const std::vector<std::string>& own_files);

}  // namespace meshca

#endif  // MESHCA_CA_BASE_SECRET_FOLDER_H_
