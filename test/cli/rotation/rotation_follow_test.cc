#include "cli/rotation/rotation_follow.h"

#include <gmock/gmock.h>

#include <deque>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "test/cli/rotation/rotation_messages.h"
#include "test/fakes/fake_clock.h"
#include "test/fakes/status_matchers.h"

namespace meshca::cli {
namespace {

namespace v1 = ::meshca::admin::v1;

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Writes down what it is told.
class Notes final : public RotationDisplay {
 public:
  std::vector<std::string> lines;

  void ShowStatus(const v1::RotationStatus& status) override { lines.push_back(status.step()); }
  void ShowAway(const absl::Status&, absl::Duration since, absl::Duration) override {
    lines.push_back(absl::StrCat("away ", absl::FormatDuration(since)));
  }
  void Finish() override { lines.push_back("finish"); }
};

class FollowTest : public testing::Test {
 protected:
  // Follows from `first` on; the answers come one a look, the last one again and again.
  absl::StatusOr<RotationOutcome> Follow(const v1::RotationStatus& first,
                                         std::deque<absl::StatusOr<v1::RotationStatus>> answers) {
    last = first;
    const auto ask = [&]() -> absl::StatusOr<v1::RotationStatus> {
      absl::StatusOr<v1::RotationStatus> answer = answers.front();
      if (answers.size() > 1) answers.pop_front();
      return answer;
    };
    const auto wait = [&](absl::Duration time) {
      clock.Advance(time);
      return ++looks == leave_after;
    };
    return FollowRotation(last, {ask, wait, clock, notes});
  }

  static v1::RotationStatus Done() {
    v1::RotationStatus status = RunningRotation("done");
    status.set_running(false);
    return status;
  }
  // What is there when rotation 3 is no more: 2, or a later one, with these roots.
  static v1::RotationStatus Another(uint64_t number) {
    v1::RotationStatus status = Done();
    status.set_number(number);
    status.mutable_started_at()->set_seconds(kNow + 1);
    status.clear_roots();
    return status;
  }

  FakeClock clock;
  Notes notes;
  v1::RotationStatus last;
  int looks = 0;
  int leave_after = -1;
};

TEST_F(FollowTest, LooksUntilItIsDone) {
  const auto outcome =
      Follow(RunningRotation("distribute"), {RunningRotation("reissue"), RunningRotation("retire"), Done()});
  ASSERT_THAT(outcome, IsOk());
  EXPECT_EQ(*outcome, RotationOutcome::kDone);
  EXPECT_THAT(notes.lines, ElementsAre("distribute", "reissue", "retire", "done", "finish"));
  EXPECT_EQ(last.step(), "done");
}

TEST_F(FollowTest, SurvivesARestartOfTheServer) {
  const auto outcome =
      Follow(RunningRotation("drain"), {absl::UnavailableError("gone"), absl::DeadlineExceededError("slow"), Done()});
  ASSERT_THAT(outcome, IsOk());
  EXPECT_EQ(*outcome, RotationOutcome::kDone);
  EXPECT_THAT(notes.lines, ElementsAre("drain", "away 0", "away 500ms", "done", "finish"));
}

TEST_F(FollowTest, GivesUpWhenTheServerStaysAway) {
  const absl::Duration before = clock.SinceBoot();
  EXPECT_THAT(Follow(RunningRotation("drain"), {absl::UnavailableError("gone")}),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("meshca root status --watch")));
  EXPECT_EQ(clock.SinceBoot() - before, kFollowPatience + kFollowEvery);
}

TEST_F(FollowTest, PatienceBeginsAnewAfterAnAnswer) {
  std::deque<absl::StatusOr<v1::RotationStatus>> answers;
  for (int outage = 0; outage < 3; ++outage) {
    for (int i = 0; i < 400; ++i) answers.push_back(absl::UnavailableError("gone"));
    answers.push_back(RunningRotation("drain"));
  }
  answers.push_back(Done());
  EXPECT_THAT(Follow(RunningRotation("drain"), std::move(answers)), IsOk());
}

TEST_F(FollowTest, AnErrorThatDoesNotPassEndsItAtOnce) {
  EXPECT_THAT(Follow(RunningRotation("drain"), {absl::PermissionDeniedError("not you")}),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("not you")));
  EXPECT_EQ(looks, 1);
}

TEST_F(FollowTest, CtrlCDetaches) {
  leave_after = 2;
  const auto outcome = Follow(RunningRotation("drain"), {RunningRotation("drain")});
  ASSERT_THAT(outcome, IsOk());
  EXPECT_EQ(*outcome, RotationOutcome::kDetached);
  EXPECT_THAT(notes.lines, ElementsAre("drain", "drain", "finish"));
}

TEST_F(FollowTest, CtrlCDetachesWhileTheServerIsAwayToo) {
  leave_after = 2;
  const auto outcome = Follow(RunningRotation("drain"), {absl::UnavailableError("gone")});
  ASSERT_THAT(outcome, IsOk());
  EXPECT_EQ(*outcome, RotationOutcome::kDetached);
}

TEST_F(FollowTest, KnowsThatItWasRolledBack) {
  v1::RotationStatus back = RunningRotation("drain");
  back.set_rolled_back(true);
  back.set_old_root_id("new-root");
  back.set_new_root_id("old-root");
  v1::RotationStatus end = Done();
  end.set_rolled_back(true);
  EXPECT_EQ(*Follow(RunningRotation("drain"), {back, end}), RotationOutcome::kRolledBack);
  // Who began to follow on the way back has got what was wanted.
  EXPECT_EQ(*Follow(back, {end}), RotationOutcome::kDone);
}

TEST_F(FollowTest, AnAbortedOneHasTakenItsRootAlong) {
  v1::RotationStatus before = Another(2);
  AddRoot("old-root", "active", 1, before);
  EXPECT_EQ(*Follow(RunningRotation("distribute"), {before}), RotationOutcome::kAborted);
  EXPECT_EQ(last.number(), 2u);
  // The same number, begun again: another rotation.
  v1::RotationStatus again = Another(3);
  AddRoot("old-root", "active", 1, again);
  AddRoot("newer-root", "prepared", 0, again);
  again.set_running(true);
  EXPECT_EQ(*Follow(RunningRotation("distribute"), {again}), RotationOutcome::kAborted);
}

TEST_F(FollowTest, ALaterRotationMeansThatThisOneEnded) {
  v1::RotationStatus later = Another(4);
  AddRoot("old-root", "retired", 0, later);
  AddRoot("new-root", "active", 1, later);
  EXPECT_EQ(*Follow(RunningRotation("retire"), {later}), RotationOutcome::kDone);
  later.clear_roots();
  AddRoot("old-root", "active", 1, later);
  AddRoot("new-root", "retired", 0, later);
  EXPECT_EQ(*Follow(RunningRotation("retire"), {later}), RotationOutcome::kRolledBack);
}

}  // namespace
}  // namespace meshca::cli
