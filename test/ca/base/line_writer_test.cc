#include "ca/base/line_writer.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "ca/base/unique_fd.h"

namespace meshca {
namespace {

using testing::EndsWith;

// The two ends of what a process has for its stderr: a pipe, or a socket as journald gives.
struct Ends {
  UniqueFd reader, writer;
};

Ends MakeEnds(bool socket) {
  int ends[2];
  EXPECT_EQ(socket ? ::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) : ::pipe(ends), 0);
  ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

std::string ReadAll(const UniqueFd& reader) {
  std::string all;
  char buffer[65536];
  for (ssize_t size = 0; (size = ::read(reader.get(), buffer, sizeof buffer)) > 0;) {
    all.append(buffer, static_cast<size_t>(size));
  }
  return all;
}

class LineWriterTest : public testing::TestWithParam<bool> {
 protected:
  LineWriterTest() : ends_(MakeEnds(GetParam())) { std::signal(SIGPIPE, SIG_IGN); }

  // Larger than a pipe or a socket holds.
  const std::string too_long_ = std::string(10'000'000, 'x');
  const LineWriter::LossLine loss_ = [](uint64_t lines) { return absl::StrCat("lost ", lines); };
  Ends ends_;
};

TEST_P(LineWriterTest, LinesComeWholeAndInOrder) {
  LineWriter writer(ends_.writer.get(), absl::Seconds(1), loss_);
  writer.Write("one");
  writer.Write(std::string(10'000, 'x'));
  writer.Write("");
  EXPECT_EQ(ReadAll(ends_.reader), "one\n" + std::string(10'000, 'x') + "\n\n");
}

TEST_P(LineWriterTest, AReaderThatStoppedIsWaitedForOnceAndWhatIsLostIsCounted) {
  LineWriter writer(ends_.writer.get(), absl::Milliseconds(200), loss_);
  writer.Write(too_long_);
  const absl::Time start = absl::Now();
  for (int i = 0; i < 1000; ++i) writer.Write(std::string(100'000, 'y'));
  // A thousand waits would be 200 s.
  EXPECT_LT(absl::Now() - start, absl::Seconds(60));

  ReadAll(ends_.reader);
  writer.Write("room again");
  EXPECT_THAT(ReadAll(ends_.reader), EndsWith("lost 1001\nroom again\n"));
  writer.Write("as ever");
  EXPECT_EQ(ReadAll(ends_.reader), "as ever\n");
}

TEST_P(LineWriterTest, ALineThatWasCutOffIsEndedBeforeTheNext) {
  LineWriter writer(ends_.writer.get(), absl::Milliseconds(50), loss_);
  writer.Write(too_long_);
  const std::string part = ReadAll(ends_.reader);
  ASSERT_EQ(part, std::string(part.size(), 'x'));
  writer.Write("next");
  EXPECT_EQ(ReadAll(ends_.reader), "\nlost 1\nnext\n");
}

TEST_P(LineWriterTest, AReaderThatIsGoneCostsNothing) {
  LineWriter writer(ends_.writer.get(), absl::Hours(1), loss_);
  ends_.reader.Reset();
  for (int i = 0; i < 1000; ++i) writer.Write(std::string(1000, 'x'));
}

TEST_P(LineWriterTest, ADescriptorThatDoesNotBlockIsWaitedForToo) {
  ::fcntl(ends_.writer.get(), F_SETFL, O_NONBLOCK);
  LineWriter writer(ends_.writer.get(), absl::Minutes(1), loss_);
  const std::string line(1'000'000, 'x');
  std::thread slow([&] { writer.Write(line); });
  std::string got;
  const absl::Time end = absl::Now() + absl::Minutes(1);
  while (got.size() < line.size() + 1 && absl::Now() < end) got += ReadAll(ends_.reader);
  slow.join();
  EXPECT_EQ(got, line + "\n");
}

TEST_P(LineWriterTest, LinesOfManyThreadsDoNotMix) {
  LineWriter writer(ends_.writer.get(), absl::Minutes(1), loss_);
  std::vector<std::thread> threads;
  for (char letter : {'a', 'b', 'c', 'd'}) {
    threads.emplace_back([&writer, letter] {
      for (int i = 0; i < 5; ++i) writer.Write(std::string(1500, letter));
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::vector<std::string> lines = absl::StrSplit(ReadAll(ends_.reader), '\n', absl::SkipEmpty());
  EXPECT_EQ(lines.size(), 20u);
  for (const std::string& line : lines) EXPECT_EQ(line, std::string(1500, line[0]));
}

INSTANTIATE_TEST_SUITE_P(Stderr, LineWriterTest, testing::Bool(),
                         [](const auto& info) { return info.param ? "Socket" : "Pipe"; });

// A terminal says that it has room, and a write of a whole line to it waits for the reader all the same.
TEST(LineWriterTerminal, AReaderThatStoppedHoldsNobodyUp) {
  const UniqueFd master(::posix_openpt(O_RDWR | O_NOCTTY));
  ASSERT_TRUE(master.valid());
  ASSERT_EQ(::grantpt(master.get()), 0);
  ASSERT_EQ(::unlockpt(master.get()), 0);
  const UniqueFd terminal(::open(::ptsname(master.get()), O_RDWR | O_NOCTTY));
  ASSERT_TRUE(terminal.valid());
  uint64_t lost = 0;
  LineWriter writer(terminal.get(), absl::Milliseconds(50), [&](uint64_t lines) {
    lost = lines;
    return absl::StrCat("lost ", lines);
  });
  for (int i = 0; i < 100; ++i) writer.Write(std::string(3000, 'x'));
  EXPECT_GT(lost, 0u);
}

}  // namespace
}  // namespace meshca
