// Reading and making the few files whose loss, change or exposure would matter: keys, certificates, marks.
#ifndef MESHCA_CA_BASE_FILE_H_
#define MESHCA_CA_BASE_FILE_H_

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace meshca {

enum class FileSecrecy {
  kPublic,  // anyone may read it
  kSecret,  // by the rule of secret_access.h: ours or root's, and others cannot get at it; what is ours and open to
            // others is set back to mode 0600, and the log says so
};

// The whole of a regular file of at most `bytes_max`. What is checked is the file that was opened (fstat), so no
// exchange between check and use goes unseen. Links are followed, as the kubelet's `..data` layout needs; a secret is
// not read by a link that another user made. Errors, all naming the path: NotFound, PermissionDenied (unreadable, or
// others can get at it: says what to do), InvalidArgument (not a regular file, too large), Unavailable (I/O).
absl::StatusOr<std::string> ReadFile(const std::string& path, size_t bytes_max, FileSecrecy secrecy);

// Makes `path` with `bytes` and mode 0600; it exists whole or not at all, and survives power loss when this returns.
// AlreadyExists: it was there, and stays as it was.
absl::Status CreatePrivateFile(const std::string& path, absl::string_view bytes);

// CreatePrivateFile, putting the new file in the old one's place where there was one.
absl::Status ReplacePrivateFile(const std::string& path, absl::string_view bytes);

// Where `path` is: what stands before its last slash; "." for a bare name, "/" in the root.
std::string FolderOf(const std::string& path);

// fsync of a folder: the names in it survive power loss.
absl::Status SyncFolder(const std::string& folder);

}  // namespace meshca

#endif  // MESHCA_CA_BASE_FILE_H_
