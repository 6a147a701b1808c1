#include "ca/base/cpu_count.h"

#include <sched.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <thread>

namespace meshca {
namespace {

int AffinityCount() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  // Fails where the kernel knows more CPUs than the mask has room for (1024).
  if (sched_getaffinity(0, sizeof mask, &mask) != 0) return static_cast<int>(std::thread::hardware_concurrency());
  return CPU_COUNT(&mask);
}

// The folder of this process in the unified hierarchy ("0::/path" in /proc/self/cgroup); in a container's own
// namespace it is the root. "" where there is none.
std::string ControlGroup() {
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("0::")) return "/sys/fs/cgroup" + line.substr(3);
  }
  return {};
}

// cpu.max is "QUOTA PERIOD" in microseconds, or "max PERIOD". 0 where nothing limits.
int QuotaCount() {
  std::ifstream file(ControlGroup() + "/cpu.max");
  double quota = 0;
  double period = 0;
  if (!(file >> quota >> period) || period <= 0) return 0;
  return static_cast<int>((quota + period - 1) / period);
}

}  // namespace

int CpuCount() {
  const int allowed = std::max(AffinityCount(), 1);
  const int paid = QuotaCount();
  return paid > 0 ? std::min(allowed, paid) : allowed;
}

}  // namespace meshca
