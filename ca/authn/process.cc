#include "ca/authn/process.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "ca/base/status.h"
#include "ca/base/unique_fd.h"

namespace meshca {
namespace {

absl::Status ProcessError(int error, const std::string& path) {
  if (error == ESRCH) error = ENOENT;  // the process ended between open and read
  return ErrnoStatus(error, absl::StrCat("read ", path));
}

class ProcFilesystem final : public ProcessTable {
 public:
  absl::StatusOr<uint64_t> StartTime(int32_t pid) const override {
    const std::string path = absl::StrCat("/proc/", pid, "/stat");
    UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file.valid()) return ProcessError(errno, path);
    char buffer[1024];
    const ssize_t size = ::read(file.get(), buffer, sizeof(buffer));
    if (size < 0) return ProcessError(errno, path);
    absl::string_view line(buffer, static_cast<size_t>(size));
    // Field 2 is the command's name in brackets, chosen by the process: it may hold spaces and brackets of its own, so
    // the fields are counted from the last bracket. What follows it is field 3.
    const size_t bracket = line.rfind(')');
    if (bracket == absl::string_view::npos) return absl::InternalError(absl::StrCat(path, ": unknown form"));
    const std::vector<absl::string_view> fields = absl::StrSplit(line.substr(bracket + 1), ' ', absl::SkipEmpty());
    constexpr size_t kStartTime = 22 - 3;
    uint64_t start_time = 0;
    if (fields.size() <= kStartTime || !absl::SimpleAtoi(fields[kStartTime], &start_time)) {
      return absl::InternalError(absl::StrCat(path, ": unknown form"));
    }
    return start_time;
  }

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
