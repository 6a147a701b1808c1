// A clock that a test moves.
#ifndef MESHCA_TEST_FAKES_FAKE_CLOCK_H_
#define MESHCA_TEST_FAKES_FAKE_CLOCK_H_

#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "ca/base/judged_clock.h"
#include "ca/base/mutex.h"

namespace meshca {

// Stands still until told, and is believed until told. Thread-safe.
class FakeClock final : public JudgedClock {
 public:
  // 2026-01-02 03:04:05 UTC, an hour after boot.
  FakeClock() : FakeClock(absl::FromUnixSeconds(1767323045)) {}
  explicit FakeClock(absl::Time now) : now_(now) {}

  absl::Time Now() const override {
    MutexLock lock(mutex_);
    return now_;
  }
  absl::Duration SinceBoot() const override {
    MutexLock lock(mutex_);
    return since_boot_;
  }

  std::string BootId() const override {
    MutexLock lock(mutex_);
    return "boot-" + std::to_string(boots_);
  }

  std::optional<absl::Time> BelievedNow() const override {
    MutexLock lock(mutex_);
    return doubted_at_.has_value() ? std::nullopt : std::optional<absl::Time>(now_);
  }
  absl::Time LikelyNow() const override {
    MutexLock lock(mutex_);
    return doubted_at_.has_value() ? *doubted_at_ + (since_boot_ - doubted_since_) : now_;
  }
  bool MayMake() const override {
    MutexLock lock(mutex_);
    return !doubted_at_.has_value() || may_make_;
  }

  // The wall clock jumps to `now`, and whoever judges it notices. `may_make`: and makes by it what is due.
  void JumpInDoubt(absl::Time now, bool may_make = false) {
    MutexLock lock(mutex_);
    doubted_at_ = now_;
    doubted_since_ = since_boot_;
    may_make_ = may_make;
    now_ = now;
  }
  // It is right again.
  void JumpBack() {
    MutexLock lock(mutex_);
    now_ = *doubted_at_ + (since_boot_ - doubted_since_);
    doubted_at_.reset();
  }

  // The machine starts anew, its wall clock at `now`.
  void Reboot(absl::Time now) {
    MutexLock lock(mutex_);
    now_ = now;
    since_boot_ = absl::Seconds(10);
    ++boots_;
  }
  // Time passes: both clocks move.
  void Advance(absl::Duration by) {
    MutexLock lock(mutex_);
    now_ += by;
    since_boot_ += by;
  }
  // The wall clock alone jumps, forward or back.
  void JumpTo(absl::Time now) {
    MutexLock lock(mutex_);
    now_ = now;
  }

 private:
  mutable Mutex mutex_;
  absl::Time now_ ABSL_GUARDED_BY(mutex_);
  int boots_ ABSL_GUARDED_BY(mutex_) = 1;
  absl::Duration since_boot_ ABSL_GUARDED_BY(mutex_) = absl::Hours(1);
  std::optional<absl::Time> doubted_at_ ABSL_GUARDED_BY(mutex_);  // the true time then
  absl::Duration doubted_since_ ABSL_GUARDED_BY(mutex_);
  bool may_make_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace meshca

#endif  // MESHCA_TEST_FAKES_FAKE_CLOCK_H_
