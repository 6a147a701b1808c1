// What another process used, as the kernel counts it.
#ifndef MESHCA_TEST_BENCH_PROCESS_METER_H_
#define MESHCA_TEST_BENCH_PROCESS_METER_H_

#include <sys/types.h>

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace meshca::bench {

// Bytes; private_bytes are those no other process shares: what the process alone costs.
struct ProcessMemory {
  int64_t resident_bytes = 0;
  int64_t private_bytes = 0;
  int64_t resident_peak_bytes = 0;  // since the process started
};

class ProcessMeter {
 public:
  // NotFound: there is no such process.
  static absl::StatusOr<ProcessMeter> Of(pid_t pid);

  // User and system time of all its threads so far, to the nanosecond; of ended threads too. NotFound: it has ended.
  absl::StatusOr<absl::Duration> CpuTime() const;

  // PermissionDenied: it belongs to another user.
  absl::StatusOr<ProcessMemory> Memory() const;

 private:
  ProcessMeter(pid_t pid, clockid_t clock) : pid_(pid), clock_(clock) {}

  pid_t pid_;
  clockid_t clock_;
};

}  // namespace meshca::bench

#endif  // MESHCA_TEST_BENCH_PROCESS_METER_H_
