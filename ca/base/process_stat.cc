#include "ca/base/process_stat.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "ca/base/status.h"
#include "ca/base/unique_fd.h"

namespace meshca {

absl::StatusOr<uint64_t> StartTicksOfStat(absl::string_view line) {
  // Field 2 is the command's name in brackets, chosen by the process: it may hold spaces and brackets of its own, so
  // the fields are counted from the last bracket. What follows it is field 3.
  const size_t bracket = line.rfind(')');
  if (bracket == absl::string_view::npos) return absl::InternalError("no command in brackets");
  const std::vector<absl::string_view> fields = absl::StrSplit(line.substr(bracket + 1), ' ', absl::SkipEmpty());
  constexpr size_t kStartTime = 22 - 3;
  uint64_t ticks = 0;
  if (fields.size() <= kStartTime || !absl::SimpleAtoi(fields[kStartTime], &ticks)) {
    return absl::InternalError("no start time");
  }
  return ticks;
}

absl::StatusOr<uint64_t> ProcessStartTicks(int32_t pid) {
  const std::string path = absl::StrCat("/proc/", pid, "/stat");
  UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  char buffer[1024];
  const ssize_t size = file.valid() ? ::read(file.get(), buffer, sizeof(buffer)) : -1;
  // ESRCH: the process ended between open and read.
  if (size < 0) return ErrnoStatus(errno == ESRCH ? ENOENT : errno, absl::StrCat("read ", path));
  auto ticks = StartTicksOfStat({buffer, static_cast<size_t>(size)});
  if (!ticks.ok()) return Annotate(ticks.status(), path);
  return *ticks;
}

}  // namespace meshca
