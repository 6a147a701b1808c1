// What the kernel says about a process of this machine.
#ifndef MESHCA_CA_AUTHN_PROCESS_H_
#define MESHCA_CA_AUTHN_PROCESS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace meshca {

// Reads /proc, which answers from memory: fit for a loop, but for ExecutableSha256. Thread-safe. Whoever reads by a pid
// compares StartTime afterwards (ProcessFacts does).
// Errors of all: NotFound (no such process), PermissionDenied (another user's process and the server is not root).
class ProcessTable {
 public:
  virtual ~ProcessTable() = default;

  // Clock ticks since boot at which `pid` began (field 22 of /proc/PID/stat).
  virtual absl::StatusOr<uint64_t> StartTime(int32_t pid) const = 0;
  // The executable of `pid`, as the server's own mount namespace names it. NotFound also: the file was deleted or
  // replaced since.
  virtual absl::StatusOr<std::string> Executable(int32_t pid) const = 0;
  // SHA-256 of the executable of `pid` as it is mapped, lower-case hex. Reads the file unless one of the same device,
  // inode, size and times was read before: off the loops. FailedPrecondition: it is larger than 512 MiB, or changed
  // while it was read.
  virtual absl::StatusOr<std::string> ExecutableSha256(int32_t pid) const = 0;
  virtual absl::StatusOr<std::vector<uint32_t>> SupplementaryGroups(int32_t pid) const = 0;
  // The systemd unit that `pid` runs in, "" for none; see UnitOfControlGroups.
  virtual absl::StatusOr<std::string> SystemdUnit(int32_t pid) const = 0;
};

// /proc; lives as long as the process.
const ProcessTable& SystemProcessTable();

// The unit in the text of a /proc/PID/cgroup; "" for none. It is the first part of the path that is no slice: what
// stands below it was delegated to whoever runs there. So a user's processes are all in `user@1000.service`, whatever
// units that user's own manager gives them, and none of them can look like a unit of the system.
std::string UnitOfControlGroups(absl::string_view text);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHN_PROCESS_H_
