// What a command is given to read: a file, a pipe or its standard input.
#ifndef MESHCA_CLI_CLIENT_INPUT_FILE_H_
#define MESHCA_CLI_CLIENT_INPUT_FILE_H_

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace meshca::cli {

inline constexpr size_t kInputBytesMax = size_t{1} << 30;

// How errors call the input `path`: "standard input" for "-".
std::string InputName(const std::string& path);

// Everything in `path`, to its end; "-" is standard input. InvalidArgument: a folder, or more than `bytes_max`. Else as
// errno says. All name the path.
absl::StatusOr<std::string> ReadInput(const std::string& path, size_t bytes_max = kInputBytesMax);

}  // namespace meshca::cli

#endif  // MESHCA_CLI_CLIENT_INPUT_FILE_H_
