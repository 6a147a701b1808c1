#include "ca/base/process_watch.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <string>

#include "absl/strings/str_cat.h"
#include "ca/base/check.h"
#include "ca/base/process_limits.h"
#include "ca/base/process_stat.h"

namespace meshca {
namespace {

constexpr int kLookEveryMs = 1000;

// glibc 2.31 has no wrapper yet.
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

int OpenPidfd(int32_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }

// Where /proc is that of another PID namespace its numbers are of other processes: nothing is concluded from it then.
bool ProcIsOurs() {
  char text[32];
  const ssize_t size = ::readlink("/proc/self", text, sizeof(text));
  return size > 0 && std::string(text, static_cast<size_t>(size)) == absl::StrCat(::getpid());
}

// Where there are few, connections may take all but a few hundred, which files and the database need.
size_t DescriptorsMax(size_t wanted) {
  constexpr uint64_t kPlenty = 65'536;
  constexpr size_t kFew = 64;
  const uint64_t limit = DescriptorLimit();
  return std::min<uint64_t>(wanted, limit < kPlenty ? kFew : limit / 16);
}

}  // namespace

SystemProcessWatch::SystemProcessWatch(Limits limits) : limits_(limits) {}

void SystemProcessWatch::Start(Ended ended) {
  ended_ = std::move(ended);
  if (!ProcIsOurs()) return;
  epoll_ = UniqueFd(::epoll_create1(EPOLL_CLOEXEC));
  wake_ = UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = 0;
  if (!epoll_.valid() || !wake_.valid() || ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event) != 0) {
    epoll_.Reset();  // no descriptors at the very start: nothing is watched
    return;
  }
  thread_ = std::thread([this] { Run(); });
}

bool SystemProcessWatch::Watch(const ProcessName& process) {
  if (!process.IsKnown() || !epoll_.valid()) return true;
  bool may_open = false;
  {
    MutexLock lock(mutex_);
    if (const auto found = watched_.find(process); found != watched_.end()) {
      found->second.fresh = true;
      return true;
    }
    if (watched_.size() >= limits_.processes_max) return true;
    may_open = by_number_.size() < DescriptorsMax(limits_.descriptors_max);
  }
  UniqueFd pidfd(may_open ? OpenPidfd(process.pid) : -1);
  if (may_open && !pidfd.valid() && errno == ESRCH) return false;
  // After the descriptor is open: if the process is the one that is meant now, the descriptor is of that one.
  const absl::StatusOr<bool> lives = ProcessLives(process.pid, process.start_ticks);
  if (!lives.ok()) return true;
  if (!*lives) return false;

  MutexLock lock(mutex_);
  if (stopping_) return true;
  const auto [place, is_new] = watched_.try_emplace(process);
  Watched& watched = place->second;
  watched.fresh = true;
  if (!is_new) return true;
  watched.number = ++numbers_;
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = watched.number;
  if (pidfd.valid() && ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, pidfd.get(), &event) == 0) {
    watched.pidfd = std::move(pidfd);
    by_number_[watched.number] = process;
    return true;
  }
  to_look_at_.push_back(process);
  const uint64_t one = 1;
  MESHCA_CHECK(::write(wake_.get(), &one, sizeof(one)) == sizeof(one) || errno == EAGAIN);
  return true;
}

void SystemProcessWatch::Retain(absl::FunctionRef<bool(const ProcessName&)> needed) {
  MutexLock lock(mutex_);
  std::vector<ProcessName> not_needed;
  for (auto& [process, watched] : watched_) {
    if (!std::exchange(watched.fresh, false) && !needed(process)) not_needed.push_back(process);
  }
  for (const ProcessName& process : not_needed) Erase(process);
}

void SystemProcessWatch::Erase(const ProcessName& process) {
  const auto found = watched_.find(process);
  by_number_.erase(found->second.number);
  watched_.erase(found);  // closes the descriptor, which ends its place in the epoll
}

void SystemProcessWatch::Run() {
  std::array<epoll_event, 64> events;
  while (true) {
    bool looks = false;
    {
      MutexLock lock(mutex_);
      if (stopping_) return;
      looks = !to_look_at_.empty();
    }
    const int count = ::epoll_wait(epoll_.get(), events.data(), events.size(), looks ? kLookEveryMs : -1);
    std::vector<uint64_t> numbers;
    bool woken = false;
    for (int i = 0; i < count; ++i) {
      const uint64_t number = events[i].data.u64;  // a copy: epoll_event is packed, and its members are not aligned
      if (number != 0) {
        numbers.push_back(number);
        continue;
      }
      uint64_t value = 0;
      MESHCA_CHECK(::read(wake_.get(), &value, sizeof(value)) == sizeof(value) || errno == EAGAIN);
      woken = true;
    }
    std::vector<ProcessName> ended = TakeEnded(numbers);
    // Woken alone, it waits its time before it looks: a burst of new processes is no reason to look more often.
    if (count == 0 && !woken) ended = LookIntoProc();
    if (!ended.empty()) ended_(ended);
  }
}

std::vector<ProcessName> SystemProcessWatch::TakeEnded(const std::vector<uint64_t>& numbers) {
  std::vector<ProcessName> ended;
  MutexLock lock(mutex_);
  for (const uint64_t number : numbers) {
    const auto found = by_number_.find(number);
    if (found == by_number_.end()) continue;  // nobody asks for it any more
    ended.push_back(found->second);
    Erase(ProcessName(found->second));
  }
  return ended;
}

std::vector<ProcessName> SystemProcessWatch::LookIntoProc() {
  std::vector<ProcessName> looked_at;
  {
    MutexLock lock(mutex_);
    const size_t count = std::min(to_look_at_.size(), limits_.looks_max);
    looked_at.assign(to_look_at_.begin(), to_look_at_.begin() + static_cast<ptrdiff_t>(count));
    to_look_at_.erase(to_look_at_.begin(), to_look_at_.begin() + static_cast<ptrdiff_t>(count));
  }
  std::vector<ProcessName> ended, running;
  for (const ProcessName& process : looked_at) {
    const absl::StatusOr<bool> lives = ProcessLives(process.pid, process.start_ticks);
    (lives.ok() && !*lives ? ended : running).push_back(process);
  }
  MutexLock lock(mutex_);
  std::erase_if(
      ended, [this](const ProcessName& process) ABSL_NO_THREAD_SAFETY_ANALYSIS { return !watched_.contains(process); });
  for (const ProcessName& process : ended) Erase(process);
  for (const ProcessName& process : running) {
    if (watched_.contains(process)) to_look_at_.push_back(process);
  }
  return ended;
}

void SystemProcessWatch::Shutdown() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  if (!thread_.joinable()) return;
  const uint64_t one = 1;
  MESHCA_CHECK(::write(wake_.get(), &one, sizeof(one)) == sizeof(one) || errno == EAGAIN);
  thread_.join();
}

size_t SystemProcessWatch::watched() const {
  MutexLock lock(mutex_);
  return watched_.size();
}

size_t SystemProcessWatch::descriptors() const {
  MutexLock lock(mutex_);
  return by_number_.size();
}

}  // namespace meshca
