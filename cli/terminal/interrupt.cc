#include "cli/terminal/interrupt.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>

#include "ca/base/check.h"
#include "ca/base/clock.h"

namespace meshca::cli {
namespace {

// What a handler may use: a number that was there before it ran.
volatile std::sig_atomic_t event_fd = -1;

void OnSignal(int) {
  const int saved = errno;
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(static_cast<int>(event_fd), &one, sizeof(one));
  errno = saved;
}

void SetHandler(void (*handler)(int), int flags) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  sigemptyset(&action.sa_mask);
  MESHCA_CHECK(::sigaction(SIGINT, &action, nullptr) == 0);
}

}  // namespace

Interrupt::Interrupt() : event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  MESHCA_CHECK(event_.get() >= 0);
  event_fd = event_.get();
  SetHandler(OnSignal, static_cast<int>(SA_RESTART | SA_RESETHAND));
}

Interrupt::~Interrupt() {
  SetHandler(SIG_DFL, 0);
  event_fd = -1;
}

bool Interrupt::Wait(absl::Duration how_long) {
  const absl::Duration until = SystemClock().SinceBoot() + how_long;
  for (;;) {
    pollfd event = {event_.get(), POLLIN, 0};
    const absl::Duration left = std::max(until - SystemClock().SinceBoot(), absl::ZeroDuration());
    const int ready = ::poll(&event, 1, static_cast<int>(absl::ToInt64Milliseconds(left)));
    if (ready > 0) return true;
    if (ready == 0 || errno != EINTR) return false;
  }
}

}  // namespace meshca::cli
