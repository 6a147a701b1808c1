#include "ca/base/process_stat.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "test/fakes/status_matchers.h"

namespace meshca {
namespace {

constexpr char kRest[] = " S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 10000000 300";

struct NameCase {
  const char* name;
  std::string command;
};

class CommandName : public testing::TestWithParam<NameCase> {};

TEST_P(CommandName, DoesNotMoveTheFieldsBehindIt) {
  auto ticks = StartTicksOfStat("42 (" + GetParam().command + ")" + kRest);
  ASSERT_THAT(ticks, IsOk());
  EXPECT_EQ(*ticks, 987654u);
}
INSTANTIATE_TEST_SUITE_P(ProcessStat, CommandName,
                         testing::Values(NameCase{"Plain", "envoy"}, NameCase{"Empty", ""},
                                         NameCase{"Spaces", "a b  c"}, NameCase{"Brackets", ") S 1 ("},
                                         NameCase{"AsIfItWereTheLine",
                                                  "x) S 1 42 42 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 1 1"},
                                         NameCase{"NewLine", "a\nb"}),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(ProcessStat, AnUnknownFormIsAnErrorAndNoNumber) {
  for (const char* line :
       {"", "42", "42 (envoy", "42 (envoy) S 1 2", "42 (envoy) S 1 42 42 0 -1 4 1 2 3 4 5 6 7 8 20 0 1 0 x 1"}) {
    EXPECT_THAT(StartTicksOfStat(line), StatusIs(absl::StatusCode::kInternal)) << line;
  }
}

TEST(ProcessStat, KnowsThisProcessAndNoneThatDoesNotExist) {
  auto own = ProcessStartTicks(::getpid());
  ASSERT_THAT(own, IsOk());
  EXPECT_GT(*own, 0u);
  EXPECT_EQ(*ProcessStartTicks(::getpid()), *own);
  EXPECT_THAT(ProcessStartTicks(0x7fffffff), StatusIs(absl::StatusCode::kNotFound));
}

struct LifeCase {
  const char* name;
  char state;
  int threads;
  uint64_t began;
  bool lives;
};

class ProcessLife : public testing::TestWithParam<LifeCase> {};

TEST_P(ProcessLife, IsThatOfItsLastThread) {
  const LifeCase& c = GetParam();
  const std::string line = absl::StrCat("42 (x) ", std::string(1, c.state), " 1 42 42 0 -1 4 1 2 3 4 5 6 7 8 20 0 ",
                                        c.threads, " 0 987654 1 3");
  const absl::StatusOr<bool> lives = StatLives(line, c.began);
  ASSERT_THAT(lives, IsOk());
  EXPECT_EQ(*lives, c.lives);
}
INSTANTIATE_TEST_SUITE_P(ProcessStat, ProcessLife,
                         testing::Values(LifeCase{"Sleeps", 'S', 1, 987654, true},
                                         LifeCase{"Stopped", 'T', 1, 987654, true},
                                         LifeCase{"Zombie", 'Z', 1, 987654, false},
                                         LifeCase{"FirstThreadEnded", 'Z', 3, 987654, true},
                                         LifeCase{"NumberOfAnother", 'S', 1, 987655, false}),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace meshca
