#include "storage/sqlite/state_folder.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "ca/base/file.h"
#include "ca/base/log.h"
#include "ca/base/private_folder.h"
#include "ca/base/secret_access.h"
#include "ca/base/status.h"

namespace meshca::storage {
namespace {

struct FileSystem {
  uint64_t type;
  const char* name;
};

// From linux/magic.h and the kernel's sources of those that it leaves out.
constexpr FileSystem kRefused[] = {
    {NFS_SUPER_MAGIC, "NFS"},     {SMB_SUPER_MAGIC, "SMB"}, {0xff534d42, "CIFS"},  {0xfe534d42, "SMB2"},
    {FUSE_SUPER_MAGIC, "FUSE"},   {AFS_SUPER_MAGIC, "AFS"}, {AFS_FS_MAGIC, "AFS"}, {CODA_SUPER_MAGIC, "Coda"},
    {NCP_SUPER_MAGIC, "NCP"},     {V9FS_MAGIC, "9P"},       {0x00c36400, "Ceph"},  {0x0bd00bd0, "Lustre"},
    {OCFS2_SUPER_MAGIC, "OCFS2"}, {0x01161970, "GFS2"},     {0x47504653, "GPFS"},  {0xaad7aaea, "PanFS"},
    {0x786f4256, "VirtualBox"},   {0xbacbacbc, "VMware"},
};

// Judges the file or folder that is really there, by secret_access.h. `ours`: it is known to be meshca's own, so that a
// mode which lets others in may be set back; the kubelet opens all files of a volume to `fsGroup` at each mount.
absl::Status CheckOwnerAndMode(const std::string& path, bool ours) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) return ErrnoStatus(errno, absl::StrCat("open ", path));
  if (!ours) {
    struct stat stat;
    if (fstat(fd.get(), &stat) != 0) return ErrnoStatus(errno, absl::StrCat("stat ", path));
    const absl::Status safe = CheckAccess(path, stat);
    return safe.ok() ? safe : WithReason(safe, kStateOpenToOthers);
  }
  const absl::StatusOr<bool> set_back = MakeAccessSafe(fd.get(), path);
  if (!set_back.ok()) return WithReason(set_back.status(), kStateOpenToOthers);
  if (*set_back) LogWarning("the state was open to others: its mode is set back", {{"path", path}});
  return absl::OkStatus();
}

// A folder where nothing else than a database of ours is: one that somebody named by mistake (/tmp) keeps its mode.
bool IsOurFolder(const std::string& folder, const std::string& database) {
  std::error_code error;
  if (std::filesystem::exists(database, error)) return true;
  for (std::filesystem::directory_iterator file(folder, error), end; !error && file != end; file.increment(error)) {
    if (file->path().filename() != "lost+found") return false;
  }
  return !error;
}

bool Exists(const std::string& path) {
  struct stat stat;
  return lstat(path.c_str(), &stat) == 0;
}

absl::Status Rename(const std::string& from, const std::string& to) {
  if (rename(from.c_str(), to.c_str()) == 0) return absl::OkStatus();
  return ErrnoStatus(errno, absl::StrCat("rename ", from, " to ", to));
}

// A fresh user has no ~/.local/state yet: what is missing above the folder is made as well, private like the folder.
absl::Status CheckFile(const std::string& path) {
  struct stat stat;
  if (lstat(path.c_str(), &stat) != 0) return ErrnoStatus(errno, absl::StrCat("stat ", path));
  if (!S_ISREG(stat.st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat(path, ": is not a regular file: give --state-dir the real one"));
  }
  return CheckOwnerAndMode(path, /*ours=*/true);
}

}  // namespace

absl::Status CheckFileSystem(uint64_t statfs_type, const std::string& path) {
  for (const FileSystem& refused : kRefused) {
    if (refused.type != statfs_type) continue;
    return WithReason(absl::FailedPreconditionError(
                          absl::StrCat(path, ": is on ", refused.name,
                                       ", which does not keep a database's promises (locks, fsync): put --state-dir on "
                                       "a local disk")),
                      "NETWORK_FILE_SYSTEM");
  }
  return absl::OkStatus();
}

absl::Status PrepareFolder(const std::string& path) {
  const std::string folder = FolderOf(path);
  MESHCA_RETURN_IF_ERROR(Annotate(MakePrivateFolder(folder), "state directory"));
  struct stat stat;
  if (::stat(folder.c_str(), &stat) != 0) return ErrnoStatus(errno, absl::StrCat("state directory: stat ", folder));
  if (!S_ISDIR(stat.st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat("state directory: ", folder, ": is not a folder"));
  }
  MESHCA_RETURN_IF_ERROR(Annotate(CheckOwnerAndMode(folder, IsOurFolder(folder, path)), "state directory"));
  struct statfs file_system;
  if (statfs(folder.c_str(), &file_system) != 0) return ErrnoStatus(errno, absl::StrCat("statfs ", folder));
  return Annotate(CheckFileSystem(static_cast<uint64_t>(file_system.f_type) & 0xffffffff, folder), "state directory");
}

absl::Status PrepareFile(const std::string& path) {
  UniqueFd made(open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (made.valid()) {
    if (fsync(made.get()) != 0) return ErrnoStatus(errno, absl::StrCat("fsync ", path));
    MESHCA_RETURN_IF_ERROR(SyncFolder(FolderOf(path)));
  } else if (errno != EEXIST) {
    return ErrnoStatus(errno, absl::StrCat("create ", path));
  }
  for (const char* suffix : {"", "-wal", "-shm"}) {
    const std::string name = path + suffix;
    if (Exists(name)) MESHCA_RETURN_IF_ERROR(Annotate(CheckFile(name), "database"));
  }
  return absl::OkStatus();
}

absl::StatusOr<UniqueFd> LockDatabase(const std::string& path) {
  const std::string name = path + ".lock";
  UniqueFd fd(open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.valid()) return ErrnoStatus(errno, absl::StrCat("open ", name));
  // flock and not fcntl: it also keeps two stores of one process apart, and no stray close gives it away.
  if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return ErrnoStatus(errno, absl::StrCat("lock ", name));
    std::array<char, 32> text = {};
    const ssize_t size = pread(fd.get(), text.data(), text.size() - 1, 0);
    const std::string pid(absl::StripAsciiWhitespace({text.data(), static_cast<size_t>(size > 0 ? size : 0)}));
    return WithReason(absl::AlreadyExistsError(absl::StrCat("database ", path, ": another meshca has it open",
                                                            pid.empty() ? "" : " (pid ", pid, pid.empty() ? "" : ")",
                                                            ": stop it, or give this one its own --state-dir")),
                      kStoreInUse);
  }
  const std::string pid = absl::StrCat(getpid(), "\n");
  // Only for people, so a full disk must not keep the server from starting.
  if (ftruncate(fd.get(), 0) != 0 || pwrite(fd.get(), pid.data(), pid.size(), 0) < 0) {
    LogWarning("cannot note the pid in the lock file", {{"file", name}});
  }
  return fd;
}

absl::Status FinishRestore(const std::string& path) {
  const std::string restored = path + ".restoring";
  struct stat stat;
  if (lstat(restored.c_str(), &stat) != 0) return absl::OkStatus();
  // The same name at each attempt, so that the old database and its log stay together.
  const std::string replaced = absl::StrCat(path, ".replaced-", stat.st_mtim.tv_sec);
  // The old log first: beside the restored database it would be taken for that one's.
  if (Exists(path + "-wal")) MESHCA_RETURN_IF_ERROR(Rename(path + "-wal", replaced + "-wal"));
  unlink((path + "-shm").c_str());
  MESHCA_RETURN_IF_ERROR(SyncFolder(FolderOf(path)));
  if (Exists(path)) MESHCA_RETURN_IF_ERROR(Rename(path, replaced));
  MESHCA_RETURN_IF_ERROR(Rename(restored, path));
  return SyncFolder(FolderOf(path));
}

uint64_t DatabaseBytes(const std::string& path) {
  uint64_t bytes = 0;
  for (const char* suffix : {"", "-wal"}) {
    struct stat stat;
    if (::stat((path + suffix).c_str(), &stat) == 0) bytes += static_cast<uint64_t>(stat.st_size);
  }
  return bytes;
}

absl::Status SyncFile(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, absl::StrCat("open ", path));
  if (fsync(fd.get()) != 0) return ErrnoStatus(errno, absl::StrCat("fsync ", path));
  return absl::OkStatus();
}

}  // namespace meshca::storage
