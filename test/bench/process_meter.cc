#include "test/bench/process_meter.h"

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <fstream>
#include <sstream>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "ca/base/status.h"

namespace meshca::bench {
namespace {

// Calls `take` with each line's name and number.
absl::Status ReadKib(const std::string& path, absl::FunctionRef<void(const std::string&, int64_t)> take) {
  std::ifstream file(path);
  if (!file.is_open()) return ErrnoStatus(errno, absl::StrCat("open ", path));
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name;
    int64_t kib = 0;
    if (words >> name >> kib) take(name, kib);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ProcessMeter> ProcessMeter::Of(pid_t pid) {
  clockid_t clock = 0;
  // utime and stime in /proc count in hundredths of a second: too coarse for a thousand streams of 5 us.
  if (const int error = clock_getcpuclockid(pid, &clock); error != 0) {
    return absl::NotFoundError(absl::StrCat("there is no process ", pid));
  }
  ProcessMeter meter(pid, clock);
  MESHCA_RETURN_IF_ERROR(meter.CpuTime().status());
  return meter;
}

absl::StatusOr<absl::Duration> ProcessMeter::CpuTime() const {
  timespec time = {};
  if (clock_gettime(clock_, &time) != 0) return absl::NotFoundError(absl::StrCat("process ", pid_, " has ended"));
  return absl::DurationFromTimespec(time);
}

absl::StatusOr<ProcessMemory> ProcessMeter::Memory() const {
  ProcessMemory memory;
  MESHCA_RETURN_IF_ERROR(
      ReadKib(absl::StrCat("/proc/", pid_, "/smaps_rollup"), [&](const std::string& name, int64_t kib) {
        if (name == "Rss:") memory.resident_bytes = kib * 1024;
        if (name == "Private_Clean:" || name == "Private_Dirty:") memory.private_bytes += kib * 1024;
      }));
  MESHCA_RETURN_IF_ERROR(ReadKib(absl::StrCat("/proc/", pid_, "/status"), [&](const std::string& name, int64_t kib) {
    if (name == "VmHWM:") memory.resident_peak_bytes = kib * 1024;
  }));
  if (memory.resident_bytes == 0) return absl::NotFoundError(absl::StrCat("process ", pid_, " has ended"));
  // The kernel notes a new peak some time after it was reached.
  memory.resident_peak_bytes = std::max(memory.resident_peak_bytes, memory.resident_bytes);
  return memory;
}

}  // namespace meshca::bench
