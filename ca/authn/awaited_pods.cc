#include "ca/authn/awaited_pods.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/clock.h"
#include "ca/base/status.h"

namespace meshca {

AwaitedPods::AwaitedPods(Options options, const KnownPods& pods)
    : options_(options), pods_(pods), thread_([this] { Run(); }) {}

AwaitedPods::~AwaitedPods() { Stop(); }

absl::Status AwaitedPods::Await(absl::string_view source, std::function<bool()> is_known, Done done) {
  MutexLock lock(mutex_);
  if (stopping_) return absl::UnavailableError("the server is shutting down");
  if (waiting_.size() >= options_.places_max) {
    return WithReason(absl::ResourceExhaustedError("too many callers wait for their pods to be known; retry with "
                                                   "backoff"),
                      "AUTHENTICATION_QUEUE_FULL");
  }
  size_t& places = places_[std::string(source)];
  if (places >= options_.places_per_source_max) {
    return WithReason(absl::ResourceExhaustedError(
                          absl::StrCat(places,
                                       " callers of this source wait for their pods to be known already; retry with "
                                       "backoff")),
                      "AUTHENTICATION_SHARE_USED");
  }
  ++places;
  waiting_.push_back(Waiting{std::string(source), std::move(is_known), std::move(done),
                             SystemClock().SinceBoot() + options_.patience});
  is_fresh_ = true;
  if (waiting_.size() == 1) changed_.NotifyAll();
  return absl::OkStatus();
}

void AwaitedPods::GiveBack(const std::string& source) {
  const auto found = places_.find(source);
  if (--found->second == 0) places_.erase(found);
}

std::deque<AwaitedPods::Waiting> AwaitedPods::TakeReady() {
  std::deque<Waiting> ready;
  const absl::Duration now = SystemClock().SinceBoot();
  // Read before the pods are: what changes in between is looked at again.
  const uint64_t changes = pods_.Changes();
  const bool look = std::exchange(is_fresh_, false) || changes != looked_at_;
  looked_at_ = changes;
  std::deque<Waiting> left;
  for (; !waiting_.empty(); waiting_.pop_front()) {
    Waiting& first = waiting_.front();
    const bool over = stopping_ || now >= first.until;
    if (!over && !look) break;
    if (over || first.is_known()) {
      GiveBack(first.source);
      ready.push_back(std::move(first));
    } else {
      left.push_back(std::move(first));
    }
  }
  if (waiting_.empty()) waiting_ = std::move(left);
  return ready;
}

void AwaitedPods::Run() {
  for (;;) {
    std::deque<Waiting> ready;
    bool stop = false;
    {
      MutexLock lock(mutex_);
      while (!stopping_ && waiting_.empty()) changed_.Wait(mutex_);
      if (!stopping_ && !is_fresh_) changed_.WaitFor(mutex_, options_.interval);
      ready = TakeReady();
      stop = stopping_ && waiting_.empty();
    }
    for (Waiting& each : ready) std::move(each.done)();
    if (stop) return;
  }
}

void AwaitedPods::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

size_t AwaitedPods::waiting() const {
  MutexLock lock(mutex_);
  return waiting_.size();
}

}  // namespace meshca
