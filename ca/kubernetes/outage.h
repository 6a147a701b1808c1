// Whether the API server is away and when it is back, as rules.
//
// A call that gets no answer proves nothing by itself: something on the way may break this one off each time. So it
// only casts a doubt, and a probe decides. While the API server is away probes go on, and whoever gets an answer ends
// that. An outage lasts longer than that where it flaps: it is over when everybody may be told that it is.
#ifndef MESHCA_CA_KUBERNETES_OUTAGE_H_
#define MESHCA_CA_KUBERNETES_OUTAGE_H_

#include "absl/time/time.h"

namespace meshca::kubernetes {

struct OutageTerms {
  // Between two attempts to reach it: a call of anybody's counts as one. InfiniteDuration: no probe is ever made, so
  // that it is never known to be away.
  absl::Duration probe_every = absl::Seconds(1);
  // An outage is over no sooner than this after the one before, twice as long each time that this had to be waited for,
  // up to the last: one that answers and dies again, over and over, must not be asked by all each time.
  absl::Duration returns_apart_first = absl::Seconds(10);
  absl::Duration returns_apart_last = absl::Seconds(30);
};

// Whoever tries again at once because the API server is back counts at most so many failures from before. Had they all
// been forgotten, one that goes away again at once would be asked without a pause; did they all count, a refusal of the
// first minute, while it is still starting, would be waited for as long as the whole outage.
inline constexpr int kFailuresKept = 4;

// Times are since boot, and do not go back. A value with one owner: no lock, no clock, no call.
class Outage {
 public:
  explicit Outage(OutageTerms terms) : terms_(terms), returns_apart_(terms.returns_apart_first) {}

  // A call that was begun at `begun` has ended without an answer of the API server's own (IsWithoutAnswer).
  void Unanswered(absl::Duration begun, absl::Duration now);
  // It has answered a call or a probe: it is not away. True: the outage is over.
  bool Answered(absl::Duration now);
  // A probe that was begun at `begun` has ended without an answer, or by one that says that it is not ready: it is
  // away, unless it has answered since then. True: an outage begins.
  bool ProbeFailed(absl::Duration begun, absl::Duration now);
  // A probe could not be made, and says nothing.
  void ProbeUnknown(absl::Duration now) { next_probe_ = now + terms_.probe_every; }

  // When to probe; InfiniteDuration: nothing makes that necessary.
  absl::Duration NextProbe() const {
    return state_ == State::kWell && !is_outage_ ? absl::InfiniteDuration() : next_probe_;
  }
  bool away() const { return state_ == State::kAway; }

 private:
  enum class State { kWell, kDoubted, kAway };

  const OutageTerms terms_;
  State state_ = State::kWell;
  bool is_outage_ = false;  // since it was away, until that is over for everybody
  absl::Duration next_probe_;
  absl::Duration answered_at_ = -absl::InfiniteDuration();
  absl::Duration over_at_ = -absl::InfiniteDuration();  // the outage before
  absl::Duration returns_apart_;                        // from over_at_ on
  bool too_soon_ = false;                               // it has answered, and returns_apart_ alone is waited for
};

}  // namespace meshca::kubernetes

#endif  // MESHCA_CA_KUBERNETES_OUTAGE_H_
