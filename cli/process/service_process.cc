#include "cli/process/service_process.h"

#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cerrno>
#include <csignal>

#include "ca/base/process_limits.h"
#include "ca/base/status.h"
#include "cli/process/service_manager.h"

namespace meshca::cli {
namespace {

sigset_t StopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGHUP);
  return signals;
}

}  // namespace

void SwitchCoreDumpsOff() {
  // Lowering one's own limit is never refused.
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
}

absl::Status HardenProcess() {
  SwitchCoreDumpsOff();
  if (prctl(PR_SET_DUMPABLE, 0) != 0) return ErrnoStatus(errno, "refuse debuggers (PR_SET_DUMPABLE)");
  IgnoreBrokenPipes();
  umask(0077);
  RaiseDescriptorLimit();
  return absl::OkStatus();
}

void PreferThroughput() {
  const sched_param no_priority{};
  sched_setscheduler(0, SCHED_BATCH, &no_priority);
}

void BlockSignals() {
  sigset_t signals = StopSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

void WaitForStop(absl::FunctionRef<void()> reload) {
  sigset_t signals = StopSignals();
  for (;;) {
    int number = 0;
    if (sigwait(&signals, &number) != 0) continue;
    if (number == SIGHUP) {
      reload();
      continue;
    }
    // The default action is back: whoever asks twice does not want to wait for the grace period.
    sigset_t impatient;
    sigemptyset(&impatient);
    sigaddset(&impatient, SIGTERM);
    sigaddset(&impatient, SIGINT);
    pthread_sigmask(SIG_UNBLOCK, &impatient, nullptr);
    return;
  }
}

void NotifyReady() { NotifyManager("READY=1").IgnoreError(); }

}  // namespace meshca::cli
