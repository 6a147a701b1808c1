// The name of one process of this machine.
#ifndef MESHCA_CA_BASE_PROCESS_NAME_H_
#define MESHCA_CA_BASE_PROCESS_NAME_H_

#include <cstdint>
#include <utility>

namespace meshca {

// Names one process for ever: numbers come round, but not with the same start time.
struct ProcessName {
  int32_t pid = 0;
  uint64_t start_ticks = 0;  // ProcessStartTicks

  // False: the kernel does not show us the process, or not when it began. Nobody can say when it ends.
  bool IsKnown() const { return pid > 0 && start_ticks != 0; }
  friend bool operator==(const ProcessName&, const ProcessName&) = default;
  template <typename H>
  friend H AbslHashValue(H state, const ProcessName& name) {
    return H::combine(std::move(state), name.pid, name.start_ticks);
  }
};

}  // namespace meshca

#endif  // MESHCA_CA_BASE_PROCESS_NAME_H_
