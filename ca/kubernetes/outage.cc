#include "ca/kubernetes/outage.h"

#include <algorithm>
#include <utility>

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
  if (now - back_at_ < returns_apart_) {
    too_soon_ = true;
    next_probe_ = now + terms_.probe_every;
    return false;
  }
  returns_apart_ = std::exchange(too_soon_, false) ? std::min(2 * returns_apart_, terms_.returns_apart_last)
                                                   : terms_.returns_apart_first;
  state_ = State::kWell;
  back_at_ = now;
  return true;
}

void Outage::ProbeFailed(absl::Duration now) {
  if (state_ == State::kWell) return;  // somebody was answered meanwhile
  next_probe_ = now + terms_.probe_every;
  state_ = State::kAway;
}

}  // namespace meshca::kubernetes
