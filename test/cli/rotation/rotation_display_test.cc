#include "cli/rotation/rotation_display.h"

#include <gmock/gmock.h>

#include <string>

#include "absl/strings/str_split.h"
#include "test/cli/rotation/rotation_messages.h"
#include "test/cli/terminal/captured.h"

namespace meshca::cli {
namespace {

namespace v1 = ::meshca::admin::v1;

using ::testing::HasSubstr;
using ::testing::Not;

const absl::Status kAway = absl::UnavailableError("no meshca server listens at /s");

TEST(LineDisplay, PrintsALineWhenTheStepOrTheReasonChanges) {
  Captured captured;
  const auto display = MakeLineDisplay(captured.out());
  v1::RotationStatus status = RunningRotation("distribute");
  status.set_waiting_for("1 subscriber");
  display->ShowStatus(status);
  status.set_subscribers(41);
  status.mutable_now()->set_seconds(kNow + 1);
  display->ShowStatus(status);
  status.set_waiting_for("the settling time");
  display->ShowStatus(status);
  status.set_step("reissue");
  display->ShowStatus(status);
  display->Finish();
  EXPECT_EQ(captured.Text(),
            "2026-01-02 03:04:05 UTC  distribute (step 2 of 5): nobody is behind (40 subscribers); 1 subscriber\n"
            "2026-01-02 03:04:06 UTC  distribute (step 2 of 5): nobody is behind (41 subscribers); the settling time\n"
            "2026-01-02 03:04:06 UTC  reissue (step 3 of 5): nobody is behind (41 subscribers); the settling time\n");
}

TEST(LineDisplay, SaysOnceThatTheServerIsAwayAndOnceThatItIsBack) {
  Captured captured;
  const auto display = MakeLineDisplay(captured.out());
  const v1::RotationStatus status = RunningRotation("drain");
  display->ShowStatus(status);
  display->ShowAway(kAway, absl::ZeroDuration(), absl::Minutes(5));
  display->ShowAway(kAway, absl::Seconds(1), absl::Minutes(5));
  display->ShowStatus(status);
  display->ShowStatus(status);
  EXPECT_EQ(
      captured.Text(),
      "2026-01-02 03:04:05 UTC  drain (step 4 of 5): nobody is behind (40 subscribers)\n"
      "2026-01-02 03:04:05 UTC  no answer for under a second, asking again for 5 min: no meshca server listens at "
      "/s\n"
      "2026-01-02 03:04:05 UTC  the server answers again\n");
}

TEST(DocumentDisplay, EachLineIsAWholeStatusAndTimeAloneIsNoNews) {
  Captured captured;
  const auto display = MakeDocumentDisplay(OutputFormat::kJson, captured.out());
  v1::RotationStatus status = RunningRotation("drain");
  display->ShowStatus(status);
  status.mutable_now()->set_seconds(kNow + 1);
  status.mutable_as_of()->set_seconds(kNow + 1);
  status.mutable_ends_about()->set_seconds(kNow + 9);
  display->ShowStatus(status);
  status.set_step("done");
  status.set_running(false);
  display->ShowStatus(status);
  display->Finish();
  const std::vector<std::string> lines = absl::StrSplit(captured.Text(), '\n');
  ASSERT_EQ(lines.size(), 3u) << captured.Text();
  EXPECT_THAT(lines[0], HasSubstr(R"({"step":"drain","number":3,"running":true,)"));
  EXPECT_THAT(lines[1], HasSubstr(R"({"step":"done","number":3,"running":false,)"));
  EXPECT_THAT(lines[1], HasSubstr(R"("roots":[{"id":"old-root","role":"root","state":"active")"));
  EXPECT_EQ(lines[2], "");
}

TEST(DocumentDisplay, YamlIsADocumentEach) {
  Captured captured;
  const auto display = MakeDocumentDisplay(OutputFormat::kYaml, captured.out());
  display->ShowStatus(RunningRotation("drain"));
  display->ShowStatus(RunningRotation("retire"));
  EXPECT_THAT(captured.Text(), HasSubstr("---\nstep: drain\nnumber: 3\n"));
  EXPECT_THAT(captured.Text(), HasSubstr("\n---\nstep: retire\n"));
}

TEST(LiveDisplay, DrawsInPlaceAndTidiesUp) {
  Captured captured;
  const auto display = MakeLiveDisplay(captured.out(), [] { return size_t{60}; });
  v1::RotationStatus status = RunningRotation("drain");
  display->ShowStatus(status);
  const std::string first = captured.Text();
  EXPECT_THAT(first, Not(HasSubstr("\033")));
  EXPECT_THAT(first, HasSubstr("rotation 3: drain (step 4 of 5), for 4 min\n["));
  for (const std::string& line : std::vector<std::string>(absl::StrSplit(first, '\n'))) EXPECT_LT(line.size(), 60u);
  display->ShowAway(kAway, absl::Seconds(3), absl::Minutes(5));
  EXPECT_THAT(captured.Text(), HasSubstr(first + "\033[3A\r\033[Jrotation 3: drain"));
  EXPECT_THAT(captured.Text(), HasSubstr("\nno answer for 3 s, asking again for 5 min: no "));
  display->Finish();
  EXPECT_THAT(captured.Text(), testing::EndsWith("\033[4A\r\033[J"));
}

}  // namespace
}  // namespace meshca::cli
