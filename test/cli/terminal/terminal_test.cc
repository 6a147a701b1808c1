// What the command does with a terminal and with people's time.
#include <gtest/gtest.h>

#include <csignal>
#include <string>

#include "absl/time/time.h"
#include "cli/terminal/interrupt.h"
#include "cli/terminal/live_lines.h"
#include "cli/terminal/people_time.h"
#include "cli/terminal/progress_bar.h"
#include "test/cli/terminal/captured.h"

namespace meshca::cli {
namespace {

TEST(ShortDuration, IsOneUnitRounded) {
  EXPECT_EQ(ShortDuration(absl::Milliseconds(999)), "under a second");
  EXPECT_EQ(ShortDuration(-absl::Hours(1)), "under a second");
  EXPECT_EQ(ShortDuration(absl::Seconds(89)), "89 s");
  EXPECT_EQ(ShortDuration(absl::Seconds(90)), "2 min");
  EXPECT_EQ(ShortDuration(absl::Minutes(89)), "89 min");
  EXPECT_EQ(ShortDuration(absl::Minutes(90)), "2 h");
  EXPECT_EQ(ShortDuration(absl::Minutes(12 * 60 + 20)), "12 h");
  EXPECT_EQ(ShortDuration(absl::Hours(36)), "2 days");
  EXPECT_EQ(ShortDuration(absl::Hours(24 * 30)), "30 days");
  EXPECT_EQ(ShortDuration(absl::InfiniteDuration()), "for ever");
}

TEST(ProgressBar, IsFullAtTheEndAlone) {
  EXPECT_EQ(ProgressBar(0, 4), "[----]   0 %");
  EXPECT_EQ(ProgressBar(0.5, 4), "[##--]  50 %");
  EXPECT_EQ(ProgressBar(0.999, 4), "[###-]  99 %");
  EXPECT_EQ(ProgressBar(1, 4), "[####] 100 %");
  EXPECT_EQ(ProgressBar(7, 4), "[####] 100 %");
  EXPECT_EQ(ProgressBar(-1, 4), "[----]   0 %");
}

TEST(LiveLines, CutsBetweenCharactersAndShowsNoControlBytes) {
  Captured captured;
  LiveLines lines(captured.out(), [] { return size_t{6}; });
  lines.Redraw({"abcdefgh", "abcd\xc3\xa4", "\xc2\x9b"});
  EXPECT_EQ(captured.Text(), "abcde\nabcd\n\\u{9b\n");
  lines.Redraw({"x"});
  EXPECT_EQ(captured.Text(), "abcde\nabcd\n\\u{9b\n\033[3A\r\033[Jx\n");
  lines.Clear();
  lines.Clear();
  EXPECT_EQ(captured.Text(), "abcde\nabcd\n\\u{9b\n\033[3A\r\033[Jx\n\033[1A\r\033[J");
}

TEST(LiveLines, AFileHasTheWidthOfAnOldTerminal) {
  std::FILE* file = std::tmpfile();
  EXPECT_EQ(TerminalWidth(file), 80u);
  std::fclose(file);
}

TEST(Interrupt, IsToldOnceItCameAndForEverAfter) {
  Interrupt interrupt;
  EXPECT_FALSE(interrupt.Wait(absl::ZeroDuration()));
  std::raise(SIGINT);
  EXPECT_TRUE(interrupt.Wait(absl::Hours(1)));
  EXPECT_TRUE(interrupt.Wait(absl::Hours(1)));
}

TEST(InterruptDeathTest, TheSecondOneEndsTheProcess) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        Interrupt interrupt;
        std::raise(SIGINT);
        std::raise(SIGINT);
      },
      testing::KilledBySignal(SIGINT), "");
}

}  // namespace
}  // namespace meshca::cli
