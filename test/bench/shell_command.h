// A command line run by /bin/sh beside an epoll loop.
#ifndef MESHCA_TEST_BENCH_SHELL_COMMAND_H_
#define MESHCA_TEST_BENCH_SHELL_COMMAND_H_

#include <sys/types.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ca/base/unique_fd.h"

namespace meshca::bench {

// One run. Its standard output is dropped, its errors are seen where ours are. Killed if it still runs at destruction.
class ShellCommand {
 public:
  // Errors: the system's (pidfd_open, fork).
  static absl::StatusOr<std::unique_ptr<ShellCommand>> Start(const std::string& line);
  ~ShellCommand();
  ShellCommand(const ShellCommand&) = delete;
  ShellCommand& operator=(const ShellCommand&) = delete;

  // Readable once it has ended: for epoll.
  int fd() const { return pidfd_.get(); }
  bool HasEnded() const;
  // Waits for its end. Unknown: it did not exit with 0; says the line and how it ended.
  absl::Status Reap();

 private:
  ShellCommand(std::string line, pid_t pid, UniqueFd pidfd)
      : line_(std::move(line)), pid_(pid), pidfd_(std::move(pidfd)) {}

  const std::string line_;
  const pid_t pid_;
  const UniqueFd pidfd_;
  bool reaped_ = false;
};

// Runs `line` to its end and returns its standard output's last line. Errors: as Reap's; Unknown when there is no line.
absl::StatusOr<std::string> LastLineOf(const std::string& line);

}  // namespace meshca::bench

#endif  // MESHCA_TEST_BENCH_SHELL_COMMAND_H_
