#include "ca/kubernetes/reachability.h"

#include <utility>

#include "ca/base/clock.h"
#include "ca/base/log.h"

namespace meshca::kubernetes {
namespace {
absl::Duration SinceBootNow() { return SystemClock().SinceBoot(); }
}  // namespace

Reachability::Reachability(OutageTerms terms, std::function<void(ProbeDone done)> probe)
    : probe_(std::move(probe)), outage_(terms) {}

Reachability::~Reachability() { Stop(); }

void Reachability::NoteAnswered() {
  MutexLock lock(mutex_);
  probing_ = 0;
  if (outage_.Answered(SinceBootNow())) ++returns_;
  // Where a probe was overtaken the next one may be due sooner than the thread knows.
  if (told_ != returns_ || outage_.NextProbe() != absl::InfiniteDuration()) changed_.NotifyAll();
}

void Reachability::NoteUnanswered(absl::Duration begun) {
  MutexLock lock(mutex_);
  outage_.Unanswered(begun, SinceBootNow());
  // Where nobody listens nobody has to be told early.
  if (stopping_ || listeners_.empty()) return;
  if (!thread_.joinable()) thread_ = std::thread([this] { ProbeAndTell(); });
  changed_.NotifyAll();
}

bool Reachability::away() const {
  MutexLock lock(mutex_);
  return outage_.away();
}

std::string Reachability::WhyAway() const {
  MutexLock lock(mutex_);
  return outage_.away() ? last_failure_ : "";
}

uint64_t Reachability::probes() const {
  MutexLock lock(mutex_);
  return probes_;
}

uint64_t Reachability::Add(std::function<void()> on_return) {
  MutexLock lock(mutex_);
  listeners_.emplace(++added_, std::move(on_return));
  return added_;
}

void Reachability::Remove(uint64_t listener) {
  MutexLock lock(mutex_);
  while (called_ == listener) changed_.Wait(mutex_);
  listeners_.erase(listener);
}

// The thread.
void Reachability::ProbeAndTell() {
  while (true) {
    uint64_t number = 0;  // of the probe that is to be made; 0: it is back
    {
      MutexLock lock(mutex_);
      while (!stopping_ && told_ == returns_) {
        const absl::Duration wait = probing_ != 0 ? absl::InfiniteDuration() : outage_.NextProbe() - SinceBootNow();
        if (wait <= absl::ZeroDuration()) break;
        changed_.WaitFor(mutex_, wait);
      }
      if (stopping_) return;
      if (told_ == returns_) number = probing_ = ++probes_;
      told_ = returns_;
    }
    if (number == 0) {
      TellListeners();
      continue;
    }
    probe_([this, number, begun = SinceBootNow()](const ProbeEnd& end) { OnProbed(number, begun, end); });
  }
}

void Reachability::OnProbed(uint64_t number, absl::Duration begun, const ProbeEnd& end) {
  if (end.kind == ProbeEnd::Kind::kAnswered) return NoteAnswered();
  bool begins = false;
  {
    MutexLock lock(mutex_);
    if (stopping_) return;
    if (probing_ == number) {
      probing_ = 0;
      if (end.kind == ProbeEnd::Kind::kUnknown) outage_.ProbeUnknown(SinceBootNow());
    }
    if (end.kind == ProbeEnd::Kind::kFailed) {
      last_failure_ = end.why;
      begins = outage_.ProbeFailed(begun, SinceBootNow());
    }
    changed_.NotifyAll();
  }
  if (begins) {
    LogWarning("kubernetes: the API server is away: what is to be written or signed waits for it",
               {{"error", end.why}});
  }
}

void Reachability::TellListeners() {
  LogInfo("kubernetes: the API server is back: what waited for it goes on", {});
  uint64_t last = 0;
  while (true) {
    const std::function<void()>* listener = nullptr;
    {
      MutexLock lock(mutex_);
      const auto next = listeners_.upper_bound(last);
      if (stopping_ || next == listeners_.end()) return;
      last = called_ = next->first;
      listener = &next->second;  // it stays there while called_ says so
    }
    (*listener)();
    MutexLock lock(mutex_);
    called_ = 0;
    changed_.NotifyAll();
  }
}

void Reachability::Stop() {
  std::thread thread;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    thread = std::move(thread_);
    changed_.NotifyAll();
  }
  if (thread.joinable()) thread.join();
}

}  // namespace meshca::kubernetes
