// What the kernel says about a process of this machine.
#ifndef MESHCA_CA_AUTHN_PROCESS_H_
#define MESHCA_CA_AUTHN_PROCESS_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace meshca {

// Reads /proc, which answers from memory: fit for a loop. Thread-safe.
class ProcessTable {
 public:
  virtual ~ProcessTable() = default;

  // Clock ticks since boot at which `pid` began (field 22 of /proc/PID/stat). NotFound: no such process.
  virtual absl::StatusOr<uint64_t> StartTime(int32_t pid) const = 0;
  // The executable of `pid`, as the server's own mount namespace names it. NotFound: no such process, or the file was
  // deleted or replaced since; PermissionDenied: another user's process and the server is not root.
  virtual absl::StatusOr<std::string> Executable(int32_t pid) const = 0;
};

// /proc; lives as long as the process.
const ProcessTable& SystemProcessTable();

}  // namespace meshca

#endif  // MESHCA_CA_AUTHN_PROCESS_H_
