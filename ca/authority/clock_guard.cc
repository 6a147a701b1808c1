#include "ca/authority/clock_guard.h"

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace meshca {
namespace {

constexpr char kMend[] = "set the clock right; if it is right and time has passed, say so: meshca check --accept-clock";

std::string Seconds(absl::Duration duration) { return absl::FormatDuration(absl::Trunc(duration, absl::Seconds(1))); }

}  // namespace

std::string ClockMark::ToText() const {
  return absl::StrCat(absl::ToUnixSeconds(newest), " ", absl::ToUnixSeconds(wall), " ",
                      absl::ToInt64Seconds(since_boot), " ", boot_id);
}

std::optional<ClockMark> ClockMark::FromText(absl::string_view text) {
  const std::vector<std::string> words = absl::StrSplit(text, ' ');
  ClockMark mark;
  int64_t newest = 0;
  if (!absl::SimpleAtoi(words[0], &newest)) return std::nullopt;
  mark.newest = absl::FromUnixSeconds(newest);
  if (words.size() == 1) return mark;  // as it was written before boots were told apart
  int64_t wall = 0;
  int64_t since_boot = 0;
  if (words.size() != 4 || !absl::SimpleAtoi(words[1], &wall) || !absl::SimpleAtoi(words[2], &since_boot)) {
    return std::nullopt;
  }
  mark.wall = absl::FromUnixSeconds(wall);
  mark.since_boot = absl::Seconds(since_boot);
  mark.boot_id = words[3];
  return mark;
}

ClockGuard::ClockGuard(ClockMark mark, std::string boot_id, absl::Duration reboot_slack)
    : reboot_slack_(reboot_slack),
      boot_id_(std::move(boot_id)),
      mark_(std::move(mark)),
      looked_(!boot_id_.empty() && mark_.boot_id == boot_id_) {}

ClockLook ClockGuard::FindFault(absl::Time wall, absl::Duration since_boot) const {
  ClockLook look;
  look.now = wall;
  if (wall < mark_.newest - kBehindSlack) {
    look.verdict = ClockVerdict::kBehind;
    look.finding =
        absl::StrCat("the clock went backwards: it is ", Seconds(mark_.newest - wall),
                     " behind a time this CA has already seen; nothing is signed until it is right again: ", kMend);
  } else if (looked_ && wall > Expected(since_boot) + kJumpSlack) {
    look.verdict = ClockVerdict::kJumped;
    look.finding = absl::StrCat("the clock jumped forward by ", Seconds(wall - Expected(since_boot)),
                                "; nothing is retired, forgotten or pruned until it is right again: ", kMend);
  } else if (!looked_ && mark_.newest != absl::InfinitePast() && wall > mark_.newest + reboot_slack_) {
    look.verdict = ClockVerdict::kJumped;
    look.finding =
        absl::StrCat("the clock is ", Seconds(wall - mark_.newest),
                     " ahead of the newest time this CA has seen, and the machine was started since; nothing is "
                     "retired, forgotten or pruned until that is known to be right: ",
                     kMend);
  }
  return look;
}

bool ClockGuard::MayMake(ClockVerdict verdict, absl::Duration since_boot) const {
  if (verdict == ClockVerdict::kBehind) return false;
  return !jumped_since_.has_value() || since_boot - *jumped_since_ >= kGlitch;
}

ClockLook ClockGuard::Judge(absl::Time wall, absl::Duration since_boot) {
  ClockLook look = FindFault(wall, since_boot);
  if (look.verdict != ClockVerdict::kJumped || !looked_) {
    jumped_since_.reset();
  } else if (!jumped_since_.has_value()) {
    jumped_since_ = since_boot;
  }
  look.may_make = MayMake(look.verdict, since_boot);
  if (look.verdict == ClockVerdict::kSteady || look.may_make) {
    look.likely = wall;
  } else {
    look.likely = looked_ ? Expected(since_boot) : mark_.newest;
  }
  return look;
}

ClockLook ClockGuard::Observe(absl::Time wall, absl::Duration since_boot) {
  ClockLook look = Judge(wall, since_boot);
  if (look.verdict == ClockVerdict::kSteady) {
    mark_ = {std::max(mark_.newest, wall), wall, since_boot, boot_id_};
    looked_ = true;
  } else if (look.verdict == ClockVerdict::kJumped && looked_) {
    mark_.newest = std::max(mark_.newest, Expected(since_boot));
  }
  return look;
}

void ClockGuard::Accept(absl::Time wall, absl::Duration since_boot) {
  mark_ = {wall, wall, since_boot, boot_id_};
  looked_ = true;
  Judge(wall, since_boot);
}

}  // namespace meshca
