#include "ca/base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "ca/base/entropy.h"
#include "ca/base/secret.h"
#include "ca/base/status.h"
#include "ca/base/unique_fd.h"

namespace meshca {
namespace {

absl::Status CheckSecrecy(const std::string& path, const struct stat& stat, FileSecrecy secrecy) {
  if (secrecy == FileSecrecy::kPublic) return absl::OkStatus();
  if (stat.st_uid != geteuid() && stat.st_uid != 0) {
    return absl::PermissionDeniedError(absl::StrCat(path, ": belongs to user ", stat.st_uid,
                                                    ", not to this process's (", geteuid(), ") or root: chown it"));
  }
  // A group may read a mounted secret but never write it; others may do neither.
  const mode_t forbidden = secrecy == FileSecrecy::kPrivate ? 077 : 037;
  if ((stat.st_mode & forbidden) != 0) {
    return absl::PermissionDeniedError(absl::StrFormat("%s: mode %04o lets others at this secret: chmod %s %s", path,
                                                       stat.st_mode & 07777,
                                                       secrecy == FileSecrecy::kPrivate ? "600" : "640", path));
  }
  return absl::OkStatus();
}

// A whole, synced file under a name of its own beside `path`.
absl::StatusOr<std::string> WriteBeside(const std::string& path, absl::string_view bytes) {
  std::array<uint8_t, 8> random;
  SystemEntropy().Fill(random);
  std::string beside = absl::StrCat(
      path, ".new-", absl::BytesToHexString({reinterpret_cast<const char*>(random.data()), random.size()}));
  UniqueFd fd(open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd.valid()) return ErrnoStatus(errno, absl::StrCat("create ", beside));
  absl::Status status;
  for (size_t done = 0; done < bytes.size() && status.ok();) {
    ssize_t n = write(fd.get(), bytes.data() + done, bytes.size() - done);
    if (n > 0) {
      done += static_cast<size_t>(n);
    } else if (errno != EINTR) {
      status = ErrnoStatus(errno, absl::StrCat("write ", beside));
    }
  }
  if (status.ok() && fsync(fd.get()) != 0) status = ErrnoStatus(errno, absl::StrCat("fsync ", beside));
  if (status.ok()) return beside;
  unlink(beside.c_str());
  return status;
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path, size_t bytes_max, FileSecrecy secrecy) {
  // O_NONBLOCK: a FIFO in the file's place must not hang the server.
  int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | (secrecy == FileSecrecy::kPrivate ? O_NOFOLLOW : 0);
  UniqueFd fd(open(path.c_str(), flags));
  if (!fd.valid()) {
    if (errno == ELOOP) return absl::InvalidArgumentError(absl::StrCat(path, ": is a symbolic link"));
    return ErrnoStatus(errno, absl::StrCat("open ", path));
  }
  struct stat stat;
  if (fstat(fd.get(), &stat) != 0) return ErrnoStatus(errno, absl::StrCat("stat ", path));
  if (!S_ISREG(stat.st_mode)) return absl::InvalidArgumentError(absl::StrCat(path, ": is not a regular file"));
  MESHCA_RETURN_IF_ERROR(CheckSecrecy(path, stat, secrecy));
  std::string bytes(bytes_max + 1, '\0');
  size_t size = 0;
  while (size < bytes.size()) {
    ssize_t n = read(fd.get(), bytes.data() + size, bytes.size() - size);
    if (n == 0) break;
    if (n > 0) {
      size += static_cast<size_t>(n);
    } else if (errno != EINTR) {
      absl::Status status = ErrnoStatus(errno, absl::StrCat("read ", path));
      Wipe(bytes);
      return status;
    }
  }
  if (size > bytes_max) {
    Wipe(bytes);
    return absl::InvalidArgumentError(absl::StrCat(path, ": larger than ", bytes_max, " bytes"));
  }
  bytes.resize(size);
  return bytes;
}

absl::Status CreatePrivateFile(const std::string& path, absl::string_view bytes) {
  MESHCA_ASSIGN_OR_RETURN(std::string beside, WriteBeside(path, bytes));
  // link() never replaces: of two processes that race, one makes the file and the other learns of it.
  absl::Status status;
  if (link(beside.c_str(), path.c_str()) != 0) status = ErrnoStatus(errno, absl::StrCat("create ", path));
  unlink(beside.c_str());
  MESHCA_RETURN_IF_ERROR(status);
  return SyncFolder(FolderOf(path));
}

absl::Status ReplacePrivateFile(const std::string& path, absl::string_view bytes) {
  MESHCA_ASSIGN_OR_RETURN(std::string beside, WriteBeside(path, bytes));
  if (rename(beside.c_str(), path.c_str()) != 0) {
    absl::Status status = ErrnoStatus(errno, absl::StrCat("replace ", path));
    unlink(beside.c_str());
    return status;
  }
  return SyncFolder(FolderOf(path));
}

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

absl::Status SyncFolder(const std::string& folder) {
  UniqueFd fd(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, absl::StrCat("open ", folder));
  if (fsync(fd.get()) != 0) return ErrnoStatus(errno, absl::StrCat("fsync ", folder));
  return absl::OkStatus();
}

}  // namespace meshca
