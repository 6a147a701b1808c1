#include "ca/authn/awaited_pods.h"

#include <algorithm>
#include <iterator>
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
  if (places_taken_ >= options_.places_max) {
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
  ++places_taken_;
  waiting_.push_back(Waiting{std::string(source), std::move(is_known), std::move(done),
                             SystemClock().SinceBoot() + options_.patience});
  is_fresh_ = true;
  if (waiting_.size() == 1) changed_.NotifyAll();
  return absl::OkStatus();
}

AwaitedPods::Look AwaitedPods::AwaitLook() {
  Look look;
  MutexLock lock(mutex_);
  while (!stopping_ && waiting_.empty()) changed_.Wait(mutex_);
  // However many come, or change: all that wait are looked at once an interval.
  if (!stopping_) changed_.WaitFor(mutex_, options_.interval);
  look.stopping = stopping_;
  // Read before the pods are: what changes in between is looked at again.
  const uint64_t changes = pods_.Changes();
  look.may_be_known = std::exchange(is_fresh_, false) || changes != looked_at_;
  looked_at_ = changes;
  look.waiting.swap(waiting_);
  return look;
}

std::deque<AwaitedPods::Waiting> AwaitedPods::TakeReady(Look& look) const {
  std::deque<Waiting> ready;
  std::deque<Waiting> left;
  const absl::Duration now = SystemClock().SinceBoot();
  while (!look.waiting.empty()) {
    Waiting& first = look.waiting.front();
    const bool over = look.stopping || now >= first.until;
    if (!over && !look.may_be_known) break;
    (over || first.is_known() ? ready : left).push_back(std::move(first));
    look.waiting.pop_front();
  }
  std::move(look.waiting.begin(), look.waiting.end(), std::back_inserter(left));
  look.waiting = std::move(left);
  return ready;
}

void AwaitedPods::PutBack(std::deque<Waiting> left, const std::deque<Waiting>& ready) {
  MutexLock lock(mutex_);
  std::move(waiting_.begin(), waiting_.end(), std::back_inserter(left));
  waiting_ = std::move(left);
  places_taken_ -= ready.size();
  for (const Waiting& each : ready) {
    const auto found = places_.find(each.source);
    if (--found->second == 0) places_.erase(found);
  }
}

// Looks without the lock: whoever comes meanwhile does not wait for that.
void AwaitedPods::Run() {
  for (;;) {
    Look look = AwaitLook();
    std::deque<Waiting> ready = TakeReady(look);
    PutBack(std::move(look.waiting), ready);
    for (Waiting& each : ready) std::move(each.done)();
    if (look.stopping) return;
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
  return places_taken_;
}

}  // namespace meshca
