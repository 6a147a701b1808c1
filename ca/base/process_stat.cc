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

namespace {

// The fields of a line of /proc/PID/stat from the third on.
absl::StatusOr<std::vector<absl::string_view>> FieldsFromThird(absl::string_view line) {
  // Field 2 is the command's name in brackets, chosen by the process: it may hold spaces and brackets of its own, so
  // the fields are counted from the last bracket. What follows it is field 3.
  const size_t bracket = line.rfind(')');
  if (bracket == absl::string_view::npos) return absl::InternalError("no command in brackets");
  return std::vector<absl::string_view>(absl::StrSplit(line.substr(bracket + 1), ' ', absl::SkipEmpty()));
}

absl::StatusOr<std::string> ReadStat(int32_t pid) {
  const std::string path = absl::StrCat("/proc/", pid, "/stat");
  UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  char buffer[1024];
  const ssize_t size = file.valid() ? ::read(file.get(), buffer, sizeof(buffer)) : -1;
  // ESRCH: the process ended between open and read.
  if (size < 0) return ErrnoStatus(errno == ESRCH ? ENOENT : errno, absl::StrCat("read ", path));
  return std::string(buffer, static_cast<size_t>(size));
}

}  // namespace

absl::StatusOr<uint64_t> StartTicksOfStat(absl::string_view line) {
  MESHCA_ASSIGN_OR_RETURN(const std::vector<absl::string_view> fields, FieldsFromThird(line));
  constexpr size_t kStartTime = 22 - 3;
  uint64_t ticks = 0;
  if (fields.size() <= kStartTime || !absl::SimpleAtoi(fields[kStartTime], &ticks)) {
    return absl::InternalError("no start time");
  }
  return ticks;
}

absl::StatusOr<uint64_t> ProcessStartTicks(int32_t pid) {
  MESHCA_ASSIGN_OR_RETURN(const std::string line, ReadStat(pid));
  auto ticks = StartTicksOfStat(line);
  if (!ticks.ok()) return Annotate(ticks.status(), absl::StrCat("/proc/", pid, "/stat"));
  return *ticks;
}

absl::StatusOr<bool> StatLives(absl::string_view line, uint64_t start_ticks) {
  MESHCA_ASSIGN_OR_RETURN(const uint64_t began, StartTicksOfStat(line));
  if (began != start_ticks) return false;  // its number was given to another
  MESHCA_ASSIGN_OR_RETURN(const std::vector<absl::string_view> fields, FieldsFromThird(line));
  constexpr size_t kThreads = 20 - 3;
  const bool first_thread_ended = fields[0] == "Z" || fields[0] == "X" || fields[0] == "x";
  int threads = 0;
  if (!absl::SimpleAtoi(fields[kThreads], &threads)) return absl::InternalError("no number of threads");
  // The first thread of a process may end while others go on.
  return !first_thread_ended || threads > 1;
}

absl::StatusOr<bool> ProcessLives(int32_t pid, uint64_t start_ticks) {
  const absl::StatusOr<std::string> line = ReadStat(pid);
  if (absl::IsNotFound(line.status())) return false;
  if (!line.ok()) return line.status();
  return StatLives(*line, start_ticks);
}

}  // namespace meshca
