#include "cli/client/secret_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "ca/base/bare_text.h"
#include "ca/base/file.h"
#include "ca/base/secret_access.h"
#include "ca/base/status.h"
#include "ca/base/unique_fd.h"
#include "cli/terminal/output.h"

namespace meshca::cli {
namespace {

// A JSON Web Token holds some kilobytes.
constexpr size_t kSecretBytesMax = 64 * 1024;

absl::Status CheckKind(const std::string& name, int fd, bool is_stdin) {
  struct stat info = {};
  if (::fstat(fd, &info) != 0) return ErrnoStatus(errno, name);
  // Standard input may be whatever the shell made of it, a terminal included.
  if (!is_stdin && !S_ISREG(info.st_mode) && !S_ISFIFO(info.st_mode) && !S_ISCHR(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": is neither a file nor a pipe"));
  }
  if (is_stdin || !S_ISREG(info.st_mode)) return absl::OkStatus();
  const absl::StatusOr<bool> set_back = MakeAccessSafe(fd, name);
  if (!set_back.ok() && info.st_uid == 0) {
    // The kubelet writes a pod's own token so that each of its users can read it, and no setting of ours changes that.
    Err("warning: %s\n", set_back.status().message());
    return absl::OkStatus();
  }
  if (!set_back.ok()) return set_back.status();
  if (*set_back) {
    Err("warning: %s: other users of this host could read it; its mode is now 0600, and whoever read it has the "
        "token\n",
        name);
  }
  return absl::OkStatus();
}

// Everything up to the end of `fd`. What was read is wiped wherever this fails.
absl::StatusOr<SecretBytes> ReadToEnd(const std::string& name, int fd) {
  std::string bytes(kSecretBytesMax + 1, '\0');
  size_t size = 0;
  absl::Status status;
  while (size < bytes.size() && status.ok()) {
    const ssize_t count = ::read(fd, bytes.data() + size, bytes.size() - size);
    if (count == 0) break;
    if (count > 0) {
      size += static_cast<size_t>(count);
    } else if (errno != EINTR) {
      status = ErrnoStatus(errno, absl::StrCat("read ", name));
    }
  }
  if (status.ok() && size > kSecretBytesMax) {
    status = absl::InvalidArgumentError(absl::StrCat(name, ": more than ", kSecretBytesMax, " bytes; it is no token"));
  }
  SecretBytes secret = SecretBytes::CopyOf(absl::StripAsciiWhitespace(absl::string_view(bytes).substr(0, size)));
  Wipe(bytes);
  MESHCA_RETURN_IF_ERROR(status);
  if (secret.reveal().empty()) return absl::InvalidArgumentError(absl::StrCat(name, ": there is no token in it"));
  MESHCA_RETURN_IF_ERROR(Annotate(CheckBareText(secret.reveal()), name));
  return secret;
}

}  // namespace

absl::StatusOr<SecretBytes> ReadSecretFile(const std::string& path) {
  if (path == kStandardInput) {
    MESHCA_RETURN_IF_ERROR(CheckKind("standard input", STDIN_FILENO, /*is_stdin=*/true));
    return ReadToEnd("standard input", STDIN_FILENO);
  }
  MESHCA_RETURN_IF_ERROR(CheckLinkOwners(path));
  // Without O_NONBLOCK, so that a pipe whose writer is still at work is waited for.
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!fd.valid()) return errno == EACCES ? CannotOpen(path) : ErrnoStatus(errno, absl::StrCat("open ", path));
  MESHCA_RETURN_IF_ERROR(CheckKind(path, fd.get(), /*is_stdin=*/false));
  return ReadToEnd(path, fd.get());
}

absl::Status WriteSecretFile(const std::string& path, absl::string_view secret) {
  struct stat info = {};
  if (::lstat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) {
    return absl::AlreadyExistsError(
        absl::StrCat(path, ": is ", S_ISLNK(info.st_mode) ? "a symbolic link" : "no file", "; name a file of its own"));
  }
  std::string text = absl::StrCat(secret, "\n");
  // Written under a name nobody can guess and renamed: no link in the file's place is followed, and a folder with the
  // sticky bit does not let one user's file take another's place.
  absl::Status written = ReplacePrivateFile(path, text);
  Wipe(text);
  return written;
}

}  // namespace meshca::cli
