// Bytes in a file that has no name and lies in memory alone (memfd_create(2)), sealed: nobody changes them any more.
#ifndef MESHCA_CA_BASE_SEALED_MEMORY_H_
#define MESHCA_CA_BASE_SEALED_MEMORY_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/base/unique_fd.h"

namespace meshca {

// A new one that holds `bytes`, for whoever gets the descriptor. It may be swapped out like all memory: secrets are
// encrypted before. `name` is seen in /proc/PID/fd. Errors: the system's.
absl::StatusOr<UniqueFd> MakeSealedMemory(const std::string& name, absl::string_view bytes);

// What `fd`, which comes from elsewhere, holds. InvalidArgument: it is no such file, or not sealed against every
// change, or holds more than `bytes_max`; nothing is read then. Other errors: the system's.
absl::StatusOr<std::string> ReadSealedMemory(int fd, size_t bytes_max);

}  // namespace meshca

#endif  // MESHCA_CA_BASE_SEALED_MEMORY_H_
