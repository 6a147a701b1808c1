// The SHA-256 of executables, read once each.
#ifndef MESHCA_CA_AUTHN_EXECUTABLE_DIGEST_H_
#define MESHCA_CA_AUTHN_EXECUTABLE_DIGEST_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <tuple>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "ca/base/mutex.h"

namespace meshca {

// Thread-safe. Two threads that ask for one file at once may both read it.
class ExecutableDigest {
 public:
  static constexpr size_t kRememberedMax = 1024;
  static constexpr int64_t kFileBytesMax = int64_t{512} << 20;

  // Lower-case hex. `path` is opened and that file is what counts, whatever has its name afterwards; for /proc/PID/exe
  // that is the file the process was started from, deleted or not. A file of the same device, inode, size and times as
  // one that was read before is not read again: its times change with its content, for whoever does not own the disk.
  // Errors: NotFound, PermissionDenied; FailedPrecondition: larger than kFileBytesMax, no regular file, or changed
  // while it was read; Unavailable: I/O.
  absl::StatusOr<std::string> Sha256OfFile(const std::string& path);

 private:
  // Device, inode, size, and nanoseconds of the last change of content and of inode.
  using FileVersion = std::tuple<uint64_t, uint64_t, int64_t, int64_t, int64_t>;
  static absl::StatusOr<FileVersion> VersionOf(int fd, const std::string& path);

  Mutex mutex_;
  absl::flat_hash_map<FileVersion, std::string> known_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHN_EXECUTABLE_DIGEST_H_
