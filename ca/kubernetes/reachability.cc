#include "ca/kubernetes/reachability.h"

#include <utility>

#include "ca/base/clock.h"
#include "ca/base/log.h"

namespace meshca::kubernetes {

Reachability::Reachability(OutageTerms terms, std::function<bool()> probe) : probe_(std::move(probe)), outage_(terms) {}

Reachability::~Reachability() { Stop(); }

void Reachability::NoteAnswered() {
  MutexLock lock(mutex_);
  if (!outage_.Answered(SystemClock().SinceBoot())) return;
  ++returns_;
  changed_.NotifyAll();
}

void Reachability::NoteUnanswered(absl::Duration begun) {
  MutexLock lock(mutex_);
  outage_.Unanswered(begun, SystemClock().SinceBoot());
  // Where nobody listens nobody has to be told early.
  if (stopping_ || listeners_.empty()) return;
  if (!thread_.joinable()) thread_ = std::thread([this] { ProbeAndTell(); });
  changed_.NotifyAll();
}

bool Reachability::away() const {
  MutexLock lock(mutex_);
  return outage_.away();
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
    bool is_back = false;
    {
      MutexLock lock(mutex_);
      while (!stopping_ && told_ == returns_ && SystemClock().SinceBoot() < outage_.NextProbe()) {
        changed_.WaitFor(mutex_, outage_.NextProbe() - SystemClock().SinceBoot());
      }
      if (stopping_) return;
      is_back = told_ != returns_;
      told_ = returns_;
    }
    if (is_back) {
      TellListeners();
    } else if (probe_()) {
      NoteAnswered();
    } else {
      MutexLock lock(mutex_);
      outage_.ProbeFailed(SystemClock().SinceBoot());
    }
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
