// Tokens that a command reads: from a file, a pipe or its standard input, never from the command line.
#ifndef MESHCA_CLI_CLIENT_SECRET_FILE_H_
#define MESHCA_CLI_CLIENT_SECRET_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/base/secret.h"

namespace meshca::cli {

// Stands for standard input where a file is named. What came by it can be read once.
inline constexpr absl::string_view kStandardInput = "-";

// The text in `path` without the white space around it; kStandardInput is that. A pipe is read to its end, so the
// command waits for who writes it. A regular file is judged by secret_access.h: what others may read is named on
// stderr, and set back where it is ours. InvalidArgument: a folder or device, nothing in it, more than a token holds,
// or what CheckBareText names around it. PermissionDenied: it is somebody else's. Else as errno says; all name the
// path.
absl::StatusOr<SecretBytes> ReadSecretFile(const std::string& path);

// Puts `secret` and a newline into `path`, mode 0600 from its first moment, in place of a regular file that was there.
// AlreadyExists: something else is there, such as a symbolic link or a pipe. PermissionDenied also: in a folder
// that users share (/tmp), another user's file.
absl::Status WriteSecretFile(const std::string& path, absl::string_view secret);

}  // namespace meshca::cli

#endif  // MESHCA_CLI_CLIENT_SECRET_FILE_H_
