#include "ca/authn/process.h"

#include <unistd.h>

#include <cerrno>
#include <climits>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ca/base/process_stat.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

absl::Status ProcessError(int error, const std::string& path) {
  if (error == ESRCH) error = ENOENT;  // the process ended between open and read
  return ErrnoStatus(error, absl::StrCat("read ", path));
}

class ProcFilesystem final : public ProcessTable {
 public:
  absl::StatusOr<uint64_t> StartTime(int32_t pid) const override { return ProcessStartTicks(pid); }

  absl::StatusOr<std::string> Executable(int32_t pid) const override {
    const std::string path = absl::StrCat("/proc/", pid, "/exe");
    char buffer[PATH_MAX];
    const ssize_t size = ::readlink(path.c_str(), buffer, sizeof(buffer));
    if (size < 0) return ProcessError(errno, path);
    std::string executable(buffer, static_cast<size_t>(size));
    if (absl::EndsWith(executable, " (deleted)")) {
      return absl::NotFoundError(absl::StrCat(path, ": ", executable, ": the process outlived its program's file"));
    }
    return executable;
  }
};

}  // namespace

const ProcessTable& SystemProcessTable() {
  static const ProcFilesystem table;
  return table;
}

}  // namespace meshca
