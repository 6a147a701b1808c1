// Whether the wall clock can be believed.
#ifndef MESHCA_CA_AUTHORITY_CLOCK_GUARD_H_
#define MESHCA_CA_AUTHORITY_CLOCK_GUARD_H_

#include <optional>
#include <string>

#include "absl/time/time.h"

namespace meshca {

enum class ClockVerdict {
  kSteady,  // as expected
  kBehind,  // before a time this CA has already seen: it must not sign into the past
  kJumped,  // ahead of the time since boot: nothing may be declared expired because of it
};

// Compares the wall clock with a high-water mark that outlives the process and, within one boot, with the time since
// boot. The mark follows only a clock that ran steadily: one bad hour of NTP does not poison it for years. Pure apart
// from its own memory; one thread.
class ClockGuard {
 public:
  // Behind the mark by up to this much is NTP at work, not an error.
  static constexpr absl::Duration kBehindSlack = absl::Minutes(2);
  // Further ahead than this between two looks is a jump.
  static constexpr absl::Duration kJumpSlack = absl::Seconds(60);

  // `mark`: the newest time seen in earlier lives; InfinitePast for none.
  explicit ClockGuard(absl::Time mark) : mark_(mark) {}

  // A look at both clocks.
  ClockVerdict Observe(absl::Time wall, absl::Duration since_boot);

  // What the last look found, for people; "" when steady.
  const std::string& finding() const { return finding_; }
  absl::Time mark() const { return mark_; }

 private:
  struct Look {
    absl::Time wall;
    absl::Duration since_boot;
  };
  absl::Time mark_;
  std::optional<Look> last_steady_;
  std::string finding_;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_CLOCK_GUARD_H_
