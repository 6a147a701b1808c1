#include "cli/terminal/people_time.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/timestamp.pb.h>

#include <cmath>

#include "absl/strings/str_cat.h"
#include "ca/base/utc_text.h"

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

std::string ShowTime(const google::protobuf::Message& owner, absl::string_view field) {
  const auto* descriptor = owner.GetDescriptor()->FindFieldByName(std::string(field));
  if (descriptor == nullptr || !owner.GetReflection()->HasField(owner, descriptor)) return "-";
  const auto& time =
      static_cast<const google::protobuf::Timestamp&>(owner.GetReflection()->GetMessage(owner, descriptor));
  return DateTimeText(absl::FromUnixSeconds(time.seconds()));
}

}  // namespace meshca::cli
