// Whether the API server is away and when it is back, as rules.
//
// A call that gets no answer proves nothing by itself: something on the way may break this one off each time. So it
// only casts a doubt, and a probe decides. While the API server is away probes go on, and whoever gets an answer ends
// it.
#ifndef MESHCA_CA_KUBERNETES_OUTAGE_H_
#define MESHCA_CA_KUBERNETES_OUTAGE_H_

#include <optional>

#include "absl/time/time.h"

namespace meshca::kubernetes {

struct OutageTerms {
  // Between two attempts to reach it: a call of anybody's counts as one. InfiniteDuration: no probe is ever made, so
  // that it is never known to be away.
  absl::Duration probe_every = absl::Seconds(1);
  // One that goes away sooner than this after it was back flaps. From then on it is back only when it has answered for
  // `hold_first` without a failed probe, the next time for twice as long, up to `hold_last`.
  absl::Duration steady = absl::Minutes(1);
  absl::Duration hold_first = absl::Seconds(5);
  absl::Duration hold_last = absl::Seconds(30);
};

// Times are since boot, and do not go back. A value with one owner: no lock, no clock, no call.
class Outage {
 public:
  explicit Outage(OutageTerms terms) : terms_(terms) {}

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
  absl::Duration hold_;                            // how long it has to answer before it counts as back
  std::optional<absl::Duration> answering_since_;  // while it is away
  absl::Duration back_at_ = -absl::InfiniteDuration();
};

}  // namespace meshca::kubernetes

#endif  // MESHCA_CA_KUBERNETES_OUTAGE_H_
