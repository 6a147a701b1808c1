#include "ca/authority/clock_guard.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace meshca {

ClockVerdict ClockGuard::Observe(absl::Time wall, absl::Duration since_boot) {
  finding_.clear();
  if (wall < mark_ - kBehindSlack) {
    finding_ = absl::StrCat("the clock went backwards: it is ",
                            absl::FormatDuration(absl::Trunc(mark_ - wall, absl::Seconds(1))),
                            " behind a time this CA has already seen; nothing is signed until it is right again");
    return ClockVerdict::kBehind;
  }
  if (last_steady_.has_value()) {
    absl::Time expected = last_steady_->wall + (since_boot - last_steady_->since_boot);
    if (wall > expected + kJumpSlack) {
      finding_ = absl::StrCat("the clock jumped forward by ",
                              absl::FormatDuration(absl::Trunc(wall - expected, absl::Seconds(1))),
                              "; no authority is retired until it is right again, or meshca is restarted");
      mark_ = std::max(mark_, expected);
      return ClockVerdict::kJumped;
    }
  }
  last_steady_ = Look{wall, since_boot};
  mark_ = std::max(mark_, wall);
  return ClockVerdict::kSteady;
}

}  // namespace meshca
