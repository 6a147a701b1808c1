#include "cli/people_time.h"

#include <cmath>

#include "absl/strings/str_cat.h"

namespace meshca::cli {
namespace {

std::string Rounded(absl::Duration duration, absl::Duration unit, absl::string_view name) {
  return absl::StrCat(std::llround(absl::FDivDuration(duration, unit)), " ", name);
}

}  // namespace

// The next unit begins where a count of the smaller one says more than anybody wants to know.
std::string ShortDuration(absl::Duration duration) {
  if (duration == absl::InfiniteDuration()) return "for ever";
  if (duration < absl::Seconds(1)) return "under a second";
  if (duration < absl::Seconds(90)) return Rounded(duration, absl::Seconds(1), "s");
  if (duration < absl::Minutes(90)) return Rounded(duration, absl::Minutes(1), "min");
  if (duration < absl::Hours(36)) return Rounded(duration, absl::Hours(1), "h");
  return Rounded(duration, absl::Hours(24), "days");
}

}  // namespace meshca::cli
