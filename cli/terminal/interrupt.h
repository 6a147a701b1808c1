// Ctrl-C as an event.
#ifndef MESHCA_CLI_TERMINAL_INTERRUPT_H_
#define MESHCA_CLI_TERMINAL_INTERRUPT_H_

#include "absl/time/time.h"
#include "ca/base/unique_fd.h"

namespace meshca::cli {

// While it lives, the first Ctrl-C (SIGINT) is told by Wait instead of ending the process; the second one ends it as
// ever. One at a time; the process's main thread.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  // Waits that long. True, at once: Ctrl-C was pressed, now or before.
  bool Wait(absl::Duration how_long);

 private:
  const UniqueFd event_;  // readable for ever after the signal
};

}  // namespace meshca::cli

#endif  // MESHCA_CLI_TERMINAL_INTERRUPT_H_
