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

// What outlives the process of what a ClockGuard has seen.
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
  ClockVerdict Judge(absl::Time wall, absl::Duration since_boot);
  ClockVerdict Observe(absl::Time wall, absl::Duration since_boot);

  // What JudgedClock says by the same names. Of the look that was judged last, with its times.
  bool MayMake(absl::Duration since_boot) const;
  absl::Time Likely(absl::Time wall, absl::Duration since_boot) const;

  // The operator's word that this look is right.
  void Accept(absl::Time wall, absl::Duration since_boot);

  // What was judged last, and that for people; "" when steady.
  ClockVerdict verdict() const { return verdict_; }
  const std::string& finding() const { return finding_; }
  const ClockMark& mark() const { return mark_; }

 private:
  absl::Time Expected(absl::Duration since_boot) const { return mark_.wall + (since_boot - mark_.since_boot); }
  ClockVerdict Find(absl::Time wall, absl::Duration since_boot);

  absl::Duration reboot_slack_;
  std::string boot_id_;
  ClockMark mark_;
  bool looked_ = false;  // mark_ has a look of this boot
  ClockVerdict verdict_ = ClockVerdict::kSteady;
  std::optional<absl::Duration> jumped_since_;  // since boot; of a jump within it
  std::string finding_;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_CLOCK_GUARD_H_
