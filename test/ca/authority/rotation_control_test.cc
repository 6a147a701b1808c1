// Which options of a rotation make sense together.
#include "ca/authority/rotation_control.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace meshca {
namespace {

const absl::Time kOrderedAt = absl::FromUnixSeconds(1767323045);

struct OptionsCase {
  const char* name;
  bool emergency;
  bool waits;
  absl::Time deadline;
  const char* refusal;  // ""; they make sense
};

class RotationOptionsTest : public testing::TestWithParam<OptionsCase> {};

TEST_P(RotationOptionsTest, AreRefusedWhereTheyContradictEachOther) {
  RotationOptions options;
  options.emergency = GetParam().emergency;
  options.waits_for_silent = GetParam().waits;
  options.deadline = GetParam().deadline;
  const absl::Status status = CheckRotationOptions(options, kOrderedAt);
  const std::string refusal = GetParam().refusal;
  EXPECT_EQ(status.code(), refusal.empty() ? absl::StatusCode::kOk : absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr(refusal));
}

INSTANTIATE_TEST_SUITE_P(
    Begin, RotationOptionsTest,
    testing::Values(OptionsCase{"Plain", false, false, absl::InfiniteFuture(), ""},
                    OptionsCase{"EmergencyThatWaits", true, true, absl::InfiniteFuture(), ""},
                    OptionsCase{"EmergencyWithADeadline", true, false, kOrderedAt + absl::Seconds(1), ""},
                    OptionsCase{"WaitWithoutAnEmergency", false, true, absl::InfiniteFuture(),
                                "wait is for an emergency"},
                    OptionsCase{"WaitAndDeadline", true, true, kOrderedAt + absl::Hours(1), "exclude each other"},
                    OptionsCase{"DeadlineWithoutAnEmergency", false, false, kOrderedAt + absl::Hours(1),
                                "deadline is for an emergency"},
                    OptionsCase{"DeadlineNow", true, false, kOrderedAt, "deadline 0 is not in the future"},
                    OptionsCase{"DeadlineThatIsOver", true, false, kOrderedAt - absl::Seconds(5), "deadline -5s"}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace meshca
