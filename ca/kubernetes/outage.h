// Whether the API server is away and when it is back, as rules.
//
// A call that gets no answer proves nothing by itself: something on the way may break this one off each time. So it
// only casts a doubt, and a probe decides. While the API server is away probes go on, and whoever gets an answer ends
// it.
#ifndef MESHCA_CA_KUBERNETES_OUTAGE_H_
#define MESHCA_CA_KUBERNETES_OUTAGE_H_

#include "absl/time/time.h"

namespace meshca::kubernetes {

struct OutageTerms {
  // Between two attempts to reach it: a call of anybody's counts as one. InfiniteDuration: no probe is ever made, so
  // that it is never known to be away.
  absl::Duration probe_every = absl::Seconds(1);
  // It counts as back no sooner than this after it was back the last time, twice as long each time that this had to be
  // waited for, up to the last: one that answers and dies again, over and over, must not be asked by all each time.
  absl::Duration returns_apart_first = absl::Seconds(10);
  absl::Duration returns_apart_last = absl::Seconds(30);
};

// Times are since boot, and do not go back. A value with one owner: no lock, no clock, no call.
class Outage {
 public:
  explicit Outage(OutageTerms terms) : terms_(terms), returns_apart_(terms.returns_apart_first) {}

  // A call that was begun at `begun` has ended without an answer of the API server's own (IsWithoutAnswer).
  void Unanswered(absl::Duration begun, absl::Duration now);
  // It has answered a call or a probe. True: it was away, and is back.
  bool Answered(absl::Duration now);
  // A probe has ended without an answer, or by one that says that it is not ready.
  void ProbeFailed(absl::Duration now);

  // When to probe; InfiniteDuration: nothing makes that necessary.
  absl::Duration NextProbe() const { return state_ == State::kWell ? absl::InfiniteDuration() : next_probe_; }
  bool away() const { return state_ == State::kAway; }

 private:
  enum class State { kWell, kDoubted, kAway };

  const OutageTerms terms_;
  State state_ = State::kWell;
  absl::Duration next_probe_;
  absl::Duration back_at_ = -absl::InfiniteDuration();
  absl::Duration returns_apart_;  // from back_at_ on
  bool too_soon_ = false;         // it has answered, and does not count as back for returns_apart_ alone
};

}  // namespace meshca::kubernetes

#endif  // MESHCA_CA_KUBERNETES_OUTAGE_H_
