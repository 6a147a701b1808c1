#include "ca/kubernetes/outage.h"

#include <algorithm>

namespace meshca::kubernetes {

void Outage::Unanswered(absl::Duration begun, absl::Duration now) {
  if (state_ == State::kWell) {
    state_ = State::kDoubted;
    next_probe_ = now + terms_.probe_every;
  } else if (state_ == State::kAway) {
    // It was an attempt too. What it found out is as old as its beginning: one that hung for ten seconds says nothing
    // about now.
    next_probe_ = std::max(next_probe_, begun + terms_.probe_every);
  }
}

bool Outage::Answered(absl::Duration now) {
  if (state_ != State::kAway) {
    state_ = State::kWell;
    return false;
  }
  if (!answering_since_.has_value()) answering_since_ = now;
  if (now - *answering_since_ < hold_) {
    next_probe_ = now + terms_.probe_every;
    return false;
  }
  state_ = State::kWell;
  back_at_ = now;
  return true;
}

void Outage::ProbeFailed(absl::Duration now) {
  if (state_ == State::kWell) return;  // somebody was answered meanwhile
  next_probe_ = now + terms_.probe_every;
  answering_since_.reset();
  if (state_ == State::kAway) return;
  state_ = State::kAway;
  const bool flaps = now - back_at_ < terms_.steady;
  hold_ = flaps ? std::clamp(2 * hold_, terms_.hold_first, terms_.hold_last) : absl::ZeroDuration();
}

}  // namespace meshca::kubernetes
