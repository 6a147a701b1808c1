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
  state_ = State::kWell;
  answered_at_ = now;
  if (!is_outage_) return false;
  if (now - over_at_ < returns_apart_) {
    too_soon_ = true;
    next_probe_ = over_at_ + returns_apart_;
    return false;
  }
  returns_apart_ = std::exchange(too_soon_, false) ? std::min(2 * returns_apart_, terms_.returns_apart_last)
                                                   : terms_.returns_apart_first;
  is_outage_ = false;
  over_at_ = now;
  return true;
}

bool Outage::ProbeFailed(absl::Duration begun, absl::Duration now) {
  if (answered_at_ >= begun) return false;
  next_probe_ = now + terms_.probe_every;
  state_ = State::kAway;
  return !std::exchange(is_outage_, true);
}

}  // namespace meshca::kubernetes
