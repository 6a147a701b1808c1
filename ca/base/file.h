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
  kPublic,   // anyone may read it
  kPrivate,  // a secret: nobody but its owner, who is this process's user or root
  kGroup,    // a secret as Kubernetes mounts it: the group may read it too (fsGroup); others may not
};

// The whole of a regular file of at most `bytes_max`. What is checked is the file that was opened (fstat), so no
// exchange between check and use goes unseen. `secrecy` kPrivate also refuses a symbolic link as the last component;
// the others follow links, as the kubelet's `..data` layout needs.
// Errors, all naming the path: NotFound, PermissionDenied (unreadable, or others can read or write it: says the chmod),
// InvalidArgument (not a regular file, too large), Unavailable (I/O).
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
