// Judges whether the wall clock can be believed.
#ifndef MESHCA_CA_AUTHORITY_CLOCK_GUARD_H_
#define MESHCA_CA_AUTHORITY_CLOCK_GUARD_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace meshca {

enum class ClockVerdict {
  kSteady,  // the clock ran as expected
  kBehind,  // it is before a time that this CA has already seen: nothing may be signed
  kJumped,  // it is ahead of what the time since boot allows: nothing may be declared expired
};

// The result of one look at the clocks.
struct ClockLook {
  absl::Time now;  // the wall clock's time
  ClockVerdict verdict = ClockVerdict::kSteady;
  bool may_make = true;  // JudgedClock::MayMake
  absl::Time likely;     // JudgedClock::LikelyNow
  std::string finding;   // for people: what is wrong and how to mend it; "" when steady
};

// What a ClockGuard remembers. It is stored as a setting in the database (kSettingClockMark) and outlives the process.
struct ClockMark {
  absl::Time newest = absl::InfinitePast();  // the newest time that was believed; InfinitePast: none yet
  // Both clocks at the last look that was believed, and the boot that it was made in ("": not known).
  absl::Time wall = absl::InfinitePast();
  absl::Duration since_boot;
  std::string boot_id;

  // Conversion to one line of text and back, in whole seconds. nullopt: the text is not such a line.
  std::string ToText() const;
  static std::optional<ClockMark> FromText(absl::string_view text);
};

// Compares the wall clock with the newest time seen so far (the mark, which outlives the process) and, within one boot,
// with the time since boot. The mark moves on only while the clock runs steadily, so that one wrong hour of NTP does
// not spoil it for years. Does no I/O. One thread at a time; other code uses the thread-safe GuardedClock.
class ClockGuard {
 public:
  // A clock that is behind the mark by no more than this is steady: NTP corrects clocks by such amounts.
  static constexpr absl::Duration kBehindSlack = absl::Minutes(2);
  // A clock that moved ahead of the time since boot by more than this, within one boot, has jumped.
  static constexpr absl::Duration kJumpSlack = absl::Seconds(60);
  // For this long after a jump within one boot nothing is made (JudgedClock::MayMake), so that a jump that is corrected
  // within that time costs nothing.
  static constexpr absl::Duration kGlitch = absl::Minutes(1);

  // `mark` is what an earlier process stored. After a reboot a jump cannot be told from time that passed while the
  // machine was off: a clock more than `reboot_slack` past the mark is then kJumped until the operator accepts it.
  ClockGuard(ClockMark mark, std::string boot_id, absl::Duration reboot_slack);

  // Judges the given readings of both clocks. Judge does not move the mark. Observe does if the clock is steady, and is
  // to be called at least every minute.
  ClockLook Judge(absl::Time wall, absl::Duration since_boot);
  ClockLook Observe(absl::Time wall, absl::Duration since_boot);

  // The operator says that these readings are right: the mark is set to them, even if that is back.
  void Accept(absl::Time wall, absl::Duration since_boot);

  const ClockMark& mark() const { return mark_; }

 private:
  // What the wall clock would show if it had run steadily since the last look that was believed.
  absl::Time Expected(absl::Duration since_boot) const { return mark_.wall + (since_boot - mark_.since_boot); }
  // A ClockLook with `now`, `verdict` and `finding` filled in.
  ClockLook FindFault(absl::Time wall, absl::Duration since_boot) const;
  bool MayMake(ClockVerdict verdict, absl::Duration since_boot) const;

  absl::Duration reboot_slack_;
  std::string boot_id_;
  ClockMark mark_;
  bool looked_ = false;                         // mark_ was taken in this boot
  std::optional<absl::Duration> jumped_since_;  // since boot: when a jump within this boot was first seen
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_CLOCK_GUARD_H_
