// The clock that everybody asks who ends something by it.
#ifndef MESHCA_CA_AUTHORITY_GUARDED_CLOCK_H_
#define MESHCA_CA_AUTHORITY_GUARDED_CLOCK_H_

#include <optional>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "ca/authority/clock_guard.h"
#include "ca/base/clock.h"
#include "ca/base/judged_clock.h"
#include "ca/base/mutex.h"

namespace meshca {

// The machine's clocks, each answer judged by a ClockGuard at the moment of asking. Thread-safe; nothing blocks.
class GuardedClock final : public JudgedClock {
 public:
  // `clock` outlives it. `reboot_slack`: see ClockGuard.
  GuardedClock(const Clock& clock, absl::Duration reboot_slack);

  absl::Time Now() const override { return clock_.Now(); }
  absl::Duration SinceBoot() const override { return clock_.SinceBoot(); }
  std::string BootId() const override { return clock_.BootId(); }
  std::optional<absl::Time> BelievedNow() const override;
  absl::Time LikelyNow() const override;
  bool MayMake() const override;

  // What an earlier life has seen. Before anybody asks.
  void Remember(ClockMark mark);
  // A look that the mark follows when the clock is steady: called every minute at least.
  ClockLook Observe();
  // A look that moves nothing.
  ClockLook Judge() const;
  // The operator's word that the clock is right as it is now.
  void Accept();
  ClockMark mark() const;

 private:
  const Clock& clock_;
  const absl::Duration reboot_slack_;
  mutable Mutex mutex_;
  mutable ClockGuard guard_ ABSL_GUARDED_BY(mutex_);  // remembers since when it doubts
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_GUARDED_CLOCK_H_
