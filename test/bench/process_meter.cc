#include "test/bench/process_meter.h"

#include <cerrno>
#include <ctime>
#include <fstream>
#include <sstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"

namespace meshca::bench {

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
  const std::string path = absl::StrCat("/proc/", pid_, "/smaps_rollup");
  std::ifstream file(path);
  if (!file.is_open()) return ErrnoStatus(errno, absl::StrCat("open ", path));
  ProcessMemory memory;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name;
    int64_t kib = 0;
    if (!(words >> name >> kib)) continue;
    if (name == "Rss:") memory.resident_bytes = kib * 1024;
    if (name == "Private_Clean:" || name == "Private_Dirty:") memory.private_bytes += kib * 1024;
  }
  if (memory.resident_bytes == 0) return absl::NotFoundError(absl::StrCat("process ", pid_, " has ended"));
  return memory;
}

}  // namespace meshca::bench
