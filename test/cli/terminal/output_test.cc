#include "cli/terminal/output.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <string>

#include "test/cli/terminal/captured.h"

namespace meshca::cli {
namespace {

TEST(Output, ArgumentsAreDataAndTheFormatIsOurs) {
  Captured captured;
  Put(captured.out(), "%-6s|%d\n", "a\x1b", 7);
  Put(captured.out(), "%s\n", std::string("\xc2\x9b\nb é"));
  EXPECT_EQ(captured.Text(), "a\\u{1b}|7\n\\u{9b}\\nb é\n");
}

TEST(Output, ADocumentKeepsItsLinesAlone) {
  Captured captured;
  PutText(captured.out(), "a\n\x1b[2Jb\n");
  EXPECT_EQ(captured.Text(), "a\n\\u{1b}[2Jb\n");
}

// Runs `body` with `fd` leading to `path`, and exits as a command would.
template <typename Body>
[[noreturn]] void RunInto(int fd, const char* path, Body body) {
  ::dup2(::open(path, O_WRONLY), fd);
  body();
  const absl::Status status = FinishOutput();
  ::_exit(status.ok() ? 0 : absl::IsUnavailable(status) ? 1 : 2);
}

class OutputDeathTest : public testing::Test {
 protected:
  OutputDeathTest() { testing::FLAGS_gtest_death_test_style = "threadsafe"; }
};

TEST_F(OutputDeathTest, AFullDiskIsNoSuccess) {
  EXPECT_EXIT(RunInto(STDOUT_FILENO, "/dev/full", [] { Out("x\n"); }), testing::ExitedWithCode(1), "");
}

TEST_F(OutputDeathTest, AFullDiskIsNoticedBeforeTheEndOfALongAnswer) {
  EXPECT_EXIT(RunInto(STDOUT_FILENO, "/dev/full",
                      [] {
                        for (int i = 0; i < 100000 && !OutputBroken(); ++i) Out("%d\n", i);
                        if (!OutputBroken()) ::_exit(9);
                      }),
              testing::ExitedWithCode(1), "");
}

TEST_F(OutputDeathTest, WhereStderrIsTheAnswerItCounts) {
  EXPECT_EXIT(RunInto(STDERR_FILENO, "/dev/full", [] { Err("x\n"); }), testing::ExitedWithCode(1), "");
}

TEST_F(OutputDeathTest, AdviceBesideAnAnswerMayGetLost) {
  EXPECT_EXIT(RunInto(STDERR_FILENO, "/dev/full",
                      [] {
                        ::dup2(::open("/dev/null", O_WRONLY), STDOUT_FILENO);
                        Err("x\n");
                        Out("x\n");
                      }),
              testing::ExitedWithCode(0), "");
}

TEST_F(OutputDeathTest, AClosedPipeEndsItWithoutAWordEvenWhereTheSignalIsIgnored) {
  EXPECT_EXIT(
      {
        std::signal(SIGPIPE, SIG_IGN);
        int ends[2];
        if (::pipe(ends) != 0) ::_exit(9);
        ::dup2(ends[1], STDOUT_FILENO);
        ::close(ends[0]);
        Out("x\n");
        FinishOutput().IgnoreError();
      },
      testing::KilledBySignal(SIGPIPE), "^$");
}

TEST_F(OutputDeathTest, WhatIsOpenedFirstNeverGetsTheNumberOfAClosedStdout) {
  EXPECT_EXIT(
      {
        ::close(STDOUT_FILENO);
        ReserveStandardDescriptors();
        const int opened = ::open("/dev/null", O_WRONLY);
        Out("x\n");
        ::_exit(opened > 2 && absl::IsUnavailable(FinishOutput()) ? 0 : 9);
      },
      testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace meshca::cli
