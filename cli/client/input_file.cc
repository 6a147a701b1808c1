#include "cli/client/input_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/base/unique_fd.h"

namespace meshca::cli {
namespace {

constexpr size_t kReadBytes = 1 << 16;

absl::StatusOr<std::string> ReadToEnd(const std::string& name, int fd, size_t bytes_max) {
  struct stat info = {};
  if (::fstat(fd, &info) != 0) return ErrnoStatus(errno, name);
  if (S_ISDIR(info.st_mode)) return absl::InvalidArgumentError(absl::StrCat(name, ": is a folder, not a file"));
  std::string bytes;
  // A regular file says how much there is: doubling would need twice the room at the end.
  if (S_ISREG(info.st_mode)) bytes.reserve(std::min(static_cast<size_t>(info.st_size), bytes_max) + kReadBytes);
  for (;;) {
    const size_t before = bytes.size();
    bytes.resize(before + kReadBytes);
    const ssize_t count = ::read(fd, bytes.data() + before, kReadBytes);
    bytes.resize(before + static_cast<size_t>(std::max<ssize_t>(count, 0)));
    if (count == 0) return bytes;
    if (count < 0 && errno != EINTR) return ErrnoStatus(errno, absl::StrCat("read ", name));
    if (bytes.size() > bytes_max) {
      return absl::InvalidArgumentError(absl::StrCat(name, ": larger than ", bytes_max, " bytes"));
    }
  }
}

}  // namespace

std::string InputName(const std::string& path) { return path == "-" ? "standard input" : path; }

absl::StatusOr<std::string> ReadInput(const std::string& path, size_t bytes_max) {
  if (path == "-") return ReadToEnd(InputName(path), STDIN_FILENO, bytes_max);
  // Without O_NONBLOCK, so that a pipe whose writer is still at work is waited for.
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!fd.valid()) return ErrnoStatus(errno, absl::StrCat("open ", path));
  return ReadToEnd(path, fd.get(), bytes_max);
}

}  // namespace meshca::cli
