// Whether the wall clock can be believed.
#ifndef MESHCA_CA_AUTHORITY_CLOCK_GUARD_H_
#define MESHCA_CA_AUTHORITY_CLOCK_GUARD_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace meshca {

enum class ClockVerdict {
  kSteady,  // as expected
  kBehind,  // before a time this CA has already seen: it must not sign into the past
  kJumped,  // ahead of the time since boot: nothing may be declared expired because of it
};

// What one look at the clocks has found.
struct ClockLook {
  absl::Time now;  // the wall clock's time
  ClockVerdict verdict = ClockVerdict::kSteady;
  bool may_make = true;  // JudgedClock::MayMake
  absl::Time likely;     // JudgedClock::LikelyNow
  std::string finding;   // for people: what is wrong and how to mend it; "" when steady
};

// What a ClockGuard has seen and what outlives the process: a setting in the database.
struct ClockMark {
  absl::Time newest = absl::InfinitePast();  // the newest time that was believed; InfinitePast: none yet
  // The last look that was believed, and the boot it belongs to; "" where that is not known.
  absl::Time wall = absl::InfinitePast();
  absl::Duration since_boot;
  std::string boot_id;

  // One line of text, and back; whole seconds. Nothing: it is no such line.
  std::string ToText() const;
  static std::optional<ClockMark> FromText(absl::string_view text);
};

// Compares the wall clock with a high-water mark that outlives the process and, within one boot, with the time since
// boot. The mark follows only a clock that ran steadily: one bad hour of NTP does not poison it for years. Pure apart
// from its own memory; one thread. GuardedClock is the one for everybody.
class ClockGuard {
 public:
  // Behind the mark by up to this much is NTP at work, not an error.
  static constexpr absl::Duration kBehindSlack = absl::Minutes(2);
  // Further ahead than this between two looks of one boot is a jump.
  static constexpr absl::Duration kJumpSlack = absl::Seconds(60);
  // A jump that is taken back within this time should have cost nothing: JudgedClock::MayMake.
  static constexpr absl::Duration kGlitch = absl::Minutes(1);

  // `mark`: of an earlier life. After a reboot nothing tells a jump from time that passed while the machine was off:
  // more than `reboot_slack` past the mark takes the operator's word.
  ClockGuard(ClockMark mark, std::string boot_id, absl::Duration reboot_slack);

  // A look at both clocks. Judge leaves the mark where it is; Observe lets it follow, and is called every minute at
  // least.
  ClockLook Judge(absl::Time wall, absl::Duration since_boot);
  ClockLook Observe(absl::Time wall, absl::Duration since_boot);

  // The operator's word that this look is right: the mark is set to it.
  void Accept(absl::Time wall, absl::Duration since_boot);

  const ClockMark& mark() const { return mark_; }

 private:
  // Where the wall clock would be had it run steadily since the last look that was believed.
  absl::Time Expected(absl::Duration since_boot) const { return mark_.wall + (since_boot - mark_.since_boot); }
  // Verdict and finding of a look; the rest of ClockLook is left as it is.
  ClockLook FindFault(absl::Time wall, absl::Duration since_boot) const;
  bool MayMake(ClockVerdict verdict, absl::Duration since_boot) const;

  absl::Duration reboot_slack_;
  std::string boot_id_;
  ClockMark mark_;
  bool looked_ = false;                         // mark_ has a look of this boot
  std::optional<absl::Duration> jumped_since_;  // since boot: when a jump within this boot was first seen
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_CLOCK_GUARD_H_
