// Who can get at a secret file, or a folder of secrets: judged in one place for all of them.
#ifndef MESHCA_CA_BASE_SECRET_ACCESS_H_
#define MESHCA_CA_BASE_SECRET_ACCESS_H_

#include <sys/stat.h>
#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace meshca {

// The user of a process and its groups, the effective one among them.
struct ProcessOwner {
  uid_t user = 0;
  std::vector<gid_t> groups;

  static ProcessOwner OfThisProcess();
  bool In(gid_t group) const;
};

struct FileOwner {
  uid_t user = 0;
  gid_t group = 0;
  mode_t mode = 0;  // permission bits
};

enum class Access {
  kSafe,
  kSetBack,       // ours, and others are let in: its mode can be set back
  kOpenToOthers,  // root's, and somebody else is let in
  kForeignOwner,  // belongs to a user who is neither root nor this process's
};

// Ours is safe when nobody else has a bit. Root's is safe when others have none, and a group has some only if this
// process is in it: how Kubernetes mounts a Secret (`defaultMode`, `fsGroup`). Pure.
Access JudgeAccess(const FileOwner& file, const ProcessOwner& process);

// Judges what is open as `fd`, a file or a folder, and sets the mode of what is ours back to 0600 or 0700; true: it
// had to. What cannot be set back (a read-only volume) is judged as root's where we are root.
// PermissionDenied, with `path` and what to do, on a host and on a Kubernetes volume.
absl::StatusOr<bool> MakeAccessSafe(int fd, const std::string& path);

// The refusal alone, of what MakeAccessSafe would set back as well: for a folder that may not be meshca's own.
absl::Status CheckAccess(const std::string& path, const struct stat& info);

// Why `path` could not be opened (EACCES), with what to do about its owner, group or mode where those can be seen.
absl::Status CannotOpen(const std::string& path);

// A symbolic link leads where its owner likes, wherever it stands in `path` or in what another leads to: that must be
// root or this process's user. Ok where there is no link. PermissionDenied names the link. Whoever may write into a
// folder of the path can still change it between this look and the opening.
absl::Status CheckLinkOwners(const std::string& path);

}  // namespace meshca

#endif  // MESHCA_CA_BASE_SECRET_ACCESS_H_
