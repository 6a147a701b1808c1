#include "ca/base/secret_folder.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ca/base/file.h"
#include "ca/base/log.h"
#include "ca/base/secret_access.h"
#include "ca/base/status.h"
#include "ca/base/unique_fd.h"

namespace meshca {
namespace {

// A fresh user has no ~/.local/state yet: what is missing above the folder is made as well, private like the folder.
absl::Status MakeFolder(const std::string& folder) {
  const std::string parent = FolderOf(folder);
  int made = ::mkdir(folder.c_str(), 0700);
  if (made != 0 && errno == ENOENT && parent != folder) {
    MESHCA_RETURN_IF_ERROR(MakeFolder(parent));
    made = ::mkdir(folder.c_str(), 0700);
  }
  if (made == 0) return SyncFolder(parent);
  const int error = errno;
  if (error == EEXIST) return absl::OkStatus();
  absl::Status failed = ErrnoStatus(error, absl::StrCat("make ", folder));
  if (error != EACCES && error != EPERM && error != EROFS) return failed;
  return absl::Status(failed.code(),
                      absl::StrCat(failed.message(),
                                   "; make it for the user that this runs as, or name another place: --state-dir DIR"));
}

// A write that was interrupted leaves a longer name.
bool IsOurs(const std::string& folder, const std::vector<std::string>& own_files) {
  bool has_others = false;
  std::error_code error;
  for (std::filesystem::directory_iterator file(folder, error), end; !error && file != end; file.increment(error)) {
    const std::string name = file->path().filename().string();
    const auto begins = [&name](const std::string& own) { return absl::StartsWith(name, own); };
    if (std::any_of(own_files.begin(), own_files.end(), begins)) return true;
    has_others |= name != "lost+found";
  }
  return !error && !has_others;
}

}  // namespace

absl::Status PrepareSecretFolder(const std::string& folder, const std::vector<std::string>& own_files) {
  MESHCA_RETURN_IF_ERROR(MakeFolder(folder));
  const UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid() && errno == ENOTDIR) return absl::InvalidArgumentError(absl::StrCat(folder, ": is not a folder"));
  if (!fd.valid()) return ErrnoStatus(errno, absl::StrCat("open ", folder));
  if (!IsOurs(folder, own_files)) {
    struct stat stat;
    if (::fstat(fd.get(), &stat) != 0) return ErrnoStatus(errno, absl::StrCat("stat ", folder));
    return CheckAccess(folder, stat);
  }
  MESHCA_ASSIGN_OR_RETURN(const bool set_back, MakeAccessSafe(fd.get(), folder));
  if (set_back) LogWarning("the state was open to others: its mode is set back", {{"path", folder}});
  return absl::OkStatus();
}

}  // namespace meshca
