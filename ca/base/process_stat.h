// When a process began, as the kernel says: with its number that names one process for ever, although numbers come
// round.
#ifndef MESHCA_CA_BASE_PROCESS_STAT_H_
#define MESHCA_CA_BASE_PROCESS_STAT_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace meshca {

// Clock ticks since boot at which `pid` began. Reads /proc, which answers from memory: fit for a loop. Thread-safe.
// Errors: NotFound (no such process), Internal (/proc answers in an unknown form), and what opening it may say.
absl::StatusOr<uint64_t> ProcessStartTicks(int32_t pid);

// Field 22 of a line of /proc/PID/stat. Errors: Internal.
absl::StatusOr<uint64_t> StartTicksOfStat(absl::string_view line);

// Whether the process `pid` that began at `start_ticks` still runs. One whose last thread has ended does not, reaped or
// not. Reads /proc as ProcessStartTicks does. Errors: its own but NotFound; then nothing is known.
absl::StatusOr<bool> ProcessLives(int32_t pid, uint64_t start_ticks);

// The same for a line of /proc/PID/stat. Errors: Internal.
absl::StatusOr<bool> StatLives(absl::string_view line, uint64_t start_ticks);

}  // namespace meshca

#endif  // MESHCA_CA_BASE_PROCESS_STAT_H_
