#include "ca/base/private_folder.h"

#include <sys/stat.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "ca/base/file.h"
#include "ca/base/status.h"

namespace meshca {

absl::Status MakePrivateFolder(const std::string& folder) {
  const std::string parent = FolderOf(folder);
  int made = ::mkdir(folder.c_str(), 0700);
  if (made != 0 && errno == ENOENT && parent != folder) {
    MESHCA_RETURN_IF_ERROR(MakePrivateFolder(parent));
    made = ::mkdir(folder.c_str(), 0700);
  }
  if (made == 0) return SyncFolder(parent);
  const int error = errno;
  if (error == EEXIST) return absl::OkStatus();
  const absl::Status failed = ErrnoStatus(error, absl::StrCat("make ", folder));
  if (error != EACCES && error != EPERM && error != EROFS) return failed;
  return absl::Status(failed.code(),
                      absl::StrCat(failed.message(),
                                   "; make it for the user that this runs as, or name another place: --state-dir DIR"));
}

}  // namespace meshca
