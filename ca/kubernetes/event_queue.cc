#include "ca/kubernetes/event_queue.h"

#include <algorithm>

#include "ca/kubernetes/api_refusal.h"

namespace meshca::kubernetes {

absl::Duration EventQueue::RepeatAfter(const Remembered& one) const {
  return one.count_written <= 1 ? limits_.repeat_first : limits_.repeat_every;
}

void EventQueue::ForgetOld(absl::Duration now) {
  for (auto one = events_.begin(); one != events_.end();) {
    const bool is_old = now - one->told_at >= limits_.remembered && one->due == absl::InfiniteDuration();
    one = is_old && under_way_ != one ? events_.erase(one) : std::next(one);
  }
}

bool EventQueue::HasRoomFor(const ObjectReference& object) const {
  if (events_.size() >= limits_.events_max) return false;
  size_t of_object = 0;
  size_t of_namespace = 0;
  for (const Remembered& one : events_) {
    if (one.event.regarding == object) ++of_object;
    if (one.event.regarding.namespace_name == object.namespace_name) ++of_namespace;
  }
  return of_object < limits_.of_one_object_max && of_namespace < limits_.of_one_namespace_max;
}

void EventQueue::Add(ObjectEvent event, std::string name, absl::Duration now, absl::Time wall) {
  ForgetOld(now);
  if (now < paused_until_) {
    ++dropped_;
    return;
  }
  const auto known =
      std::find_if(events_.begin(), events_.end(), [&](const Remembered& one) { return one.event == event; });
  if (known != events_.end()) {
    ++known->count;
    known->last = wall;
    known->told_at = now;
    if (known->due == absl::InfiniteDuration() && under_way_ != known) known->due = now + RepeatAfter(*known);
    return;
  }
  if (!HasRoomFor(event.regarding)) {
    ++dropped_;
    return;
  }
  Remembered& made = events_.emplace_back();
  made.event = std::move(event);
  made.name = std::move(name);
  made.first = made.last = wall;
  made.told_at = made.due = now;
}

EventQueue::Events::iterator EventQueue::FirstDue() {
  return std::min_element(events_.begin(), events_.end(),
                          [](const Remembered& a, const Remembered& b) { return a.due < b.due; });
}

absl::Duration EventQueue::NextDue() const {
  if (under_way_.has_value()) return absl::InfiniteDuration();
  absl::Duration next = absl::InfiniteDuration();
  for (const Remembered& one : events_) next = std::min(next, one.due);
  return std::max(next, not_before_);
}

std::optional<ApiCall> EventQueue::TakeDue(absl::Duration now) {
  if (NextDue() > now) return std::nullopt;
  const auto one = FirstDue();
  under_way_ = one;
  not_before_ = now + limits_.gap;
  one->due = absl::InfiniteDuration();
  one->count_under_way = one->count;
  if (one->count_written > 0) return CallToRepeatEvent(one->event, one->name, one->count, one->last);
  return CallToCreateEvent(one->event, one->name, reporter_, one->first);
}

void EventQueue::Ended(const absl::Status& status, absl::Duration now) {
  if (!under_way_.has_value()) return;
  const auto one = *under_way_;
  under_way_.reset();
  if (status.ok()) {
    ++written_;
    one->failures = 0;
    // An Event that was made says that it has happened once; more is said by the next write.
    one->count_written = one->count_written == 0 ? 1 : one->count_under_way;
    if (one->count > one->count_written) one->due = now + RepeatAfter(*one);
    return;
  }
  if (IsMissingRight(status)) {
    paused_until_ = now + limits_.pause;
    return DropAll();
  }
  // The API server keeps events for an hour; what goes on after that is told anew. Else another try will do no better.
  const bool may_pass =
      absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) || absl::IsResourceExhausted(status);
  if (!may_pass || ++one->failures >= limits_.tries) {
    ++dropped_;
    events_.erase(one);
    return;
  }
  one->due = not_before_ = now + std::max(limits_.retry, RetryAfterOf(status));
}

void EventQueue::DropAll() {
  dropped_ += events_.size();
  events_.clear();
}

}  // namespace meshca::kubernetes
