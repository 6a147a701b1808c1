#include "ca/base/sealed_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

// The seals themselves included: no later seal tells two of them apart.
constexpr int kAllSeals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

// MFD_NOEXEC_SEAL, which the headers of an older system do not have: a kernel may be set to make no memfd that could be
// executed (vm.memfd_noexec).
constexpr unsigned kNeverExecuted = 0x0008;

UniqueFd MakeMemory(const std::string& name) {
  constexpr unsigned kFlags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  UniqueFd fd(::memfd_create(name.c_str(), kFlags | kNeverExecuted));
  if (!fd.valid() && errno == EINVAL) fd = UniqueFd(::memfd_create(name.c_str(), kFlags));  // Linux before 6.3
  return fd;
}

}  // namespace

absl::StatusOr<UniqueFd> MakeSealedMemory(const std::string& name, absl::string_view bytes) {
  UniqueFd fd = MakeMemory(name);
  if (!fd.valid()) return ErrnoStatus(errno, "memfd_create");
  for (absl::string_view left = bytes; !left.empty();) {
    const ssize_t written = ::write(fd.get(), left.data(), left.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return ErrnoStatus(errno, "write to a memfd");
    left.remove_prefix(static_cast<size_t>(written));
  }
  if (::fcntl(fd.get(), F_ADD_SEALS, kAllSeals) != 0) return ErrnoStatus(errno, "seal a memfd");
  return fd;
}

absl::StatusOr<std::string> ReadSealedMemory(int fd, size_t bytes_max) {
  // Only a memfd has seals at all; and only what is sealed cannot shrink between the look at its size and the reading.
  const int seals = ::fcntl(fd, F_GET_SEALS);
  struct stat file {};
  if (seals < 0 || ::fstat(fd, &file) != 0 || !S_ISREG(file.st_mode)) {
    return absl::InvalidArgumentError("the descriptor is no file in memory (memfd)");
  }
  if ((seals & kAllSeals) != kAllSeals) {
    return absl::InvalidArgumentError("the file in memory is not sealed: anybody who has it can change it");
  }
  if (file.st_size > static_cast<int64_t>(bytes_max)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the file in memory holds ", file.st_size, " bytes; at most ", bytes_max, " are read"));
  }
  std::string bytes(static_cast<size_t>(file.st_size), '\0');
  for (size_t at = 0; at < bytes.size();) {
    // By offset: where the descriptor stands is shared with everybody who has it.
    const ssize_t read = ::pread(fd, bytes.data() + at, bytes.size() - at, static_cast<off_t>(at));
    if (read < 0 && errno == EINTR) continue;
    if (read <= 0) return ErrnoStatus(errno, "read a memfd");
    at += static_cast<size_t>(read);
  }
  return bytes;
}

}  // namespace meshca
