#include "ca/base/process_limits.h"

#include <signal.h>
#include <sys/resource.h>

#include <limits>

namespace meshca {

void IgnoreBrokenPipes() { ::signal(SIGPIPE, SIG_IGN); }

bool SurvivesBrokenPipes() {
  struct sigaction action = {};
  return ::sigaction(SIGPIPE, nullptr, &action) == 0 && action.sa_handler != SIG_DFL;
}

void RaiseDescriptorLimit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

uint64_t DescriptorLimit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
    return std::numeric_limits<uint64_t>::max();
  }
  return limit.rlim_cur;
}

}  // namespace meshca
