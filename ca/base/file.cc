#include "ca/base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "ca/base/entropy.h"
#include "ca/base/log.h"
#include "ca/base/secret.h"
#include "ca/base/secret_access.h"
#include "ca/base/status.h"
#include "ca/base/unique_fd.h"

namespace meshca {
namespace {

absl::Status CheckSecrecy(const std::string& path, int fd, FileSecrecy secrecy) {
  if (secrecy == FileSecrecy::kPublic) return absl::OkStatus();
  MESHCA_ASSIGN_OR_RETURN(const bool set_back, MakeAccessSafe(fd, path));
  if (set_back) {
    LogWarning("a secret file was open to others: its mode is set back; whoever read it still has it",
               {{"file", path}});
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
  if (secrecy == FileSecrecy::kSecret) MESHCA_RETURN_IF_ERROR(CheckLinkOwners(path));
  // O_NONBLOCK: a FIFO in the file's place must not hang the server.
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid() && errno == EACCES && secrecy == FileSecrecy::kSecret) return CannotOpen(path);
  if (!fd.valid()) return ErrnoStatus(errno, absl::StrCat("open ", path));
  struct stat stat;
  if (fstat(fd.get(), &stat) != 0) return ErrnoStatus(errno, absl::StrCat("stat ", path));
  if (!S_ISREG(stat.st_mode)) return absl::InvalidArgumentError(absl::StrCat(path, ": is not a regular file"));
  MESHCA_RETURN_IF_ERROR(CheckSecrecy(path, fd.get(), secrecy));
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
