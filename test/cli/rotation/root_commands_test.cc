// The verbs of `meshca root` from the line that is typed to the exit code, against an admin socket in this process.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "ca/base/process_limits.h"
#include "ca/base/status.h"
#include "ca/base/unique_fd.h"
#include "ca/rpc/router.h"
#include "ca/rpc/server.h"
#include "ca/service/admin_service.h"
#include "cli/command_line.h"
#include "test/ca/service/service_fixture.h"
#include "test/fakes/fake_rotation.h"

namespace meshca::cli {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// What a command printed, and what it exited with.
struct Ran {
  int exit_code = -1;
  std::string out;
  std::string err;
};

class RootCommands : public ServiceTest {
 protected:
  RootCommands() {
    rotation.report = Report(RotationStep::kDrain);
    StartServer();
  }
  ~RootCommands() override { StopServer(); }

  void StartServer() {
    AdminContext context = Context();
    context.rotation = &rotation;
    admin = std::make_unique<AdminService>(std::move(context));
    auto router = std::make_shared<rpc::Router>();
    admin->AddTo(*router);
    rpc::ListenerOptions listener;
    listener.address = "unix:" + socket;
    listener.router = std::move(router);
    IgnoreBrokenPipes();
    server = rpc::Server::Create({.loops = 1}).value();
    MESHCA_CHECK(server->AddListener(std::move(listener)).ok());
    server->Start();
  }
  void StopServer() {
    server->Shutdown(absl::ZeroDuration());
    server.reset();
    admin.reset();
  }

  RotationReport Report(RotationStep step) const {
    RotationReport report;
    report.rotation.emplace();
    report.rotation->number = 3;
    report.rotation->step = step;
    report.rotation->old_root_id = manager->Current()->issuing->root_id;
    report.rotation->new_root_id = std::string(64, 'b');
    report.rotation->automatic = true;
    report.rotation->started_at = report.rotation->step_at = clock.Now() - absl::Minutes(5);
    report.as_of = clock.Now();
    return report;
  }
  // `reports` one a look; the last again and again.
  void Script(std::vector<RotationReport> reports) {
    rotation.on_report = [reports = std::move(reports), next = size_t{0}]() mutable {
      const RotationReport& report = reports[next];
      if (next + 1 < reports.size()) ++next;
      return report;
    };
  }

  int RunLine(const std::string& line) const {
    std::vector<std::string> words = {"meshca", "--admin-socket", socket};
    for (absl::string_view word : absl::StrSplit(line, ' ', absl::SkipEmpty())) words.emplace_back(word);
    std::vector<const char*> argv;
    argv.reserve(words.size());
    for (const std::string& word : words) argv.push_back(word.c_str());
    return RunCommandLine(static_cast<int>(argv.size()), argv.data());
  }
  Ran Run(const std::string& line) const {
    Ran ran;
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    ran.exit_code = RunLine(line);
    ran.out = testing::internal::GetCapturedStdout();
    ran.err = testing::internal::GetCapturedStderr();
    return ran;
  }

  FakeRotation rotation;
  const std::string socket = folder.path() + "/admin.sock";
  std::unique_ptr<AdminService> admin;
  std::unique_ptr<rpc::Server> server;
};

TEST_F(RootCommands, RotateStaysUntilItIsDone) {
  Script({Report(RotationStep::kDistribute), Report(RotationStep::kDrain), Report(RotationStep::kDone)});
  const Ran ran = Run("root rotate --confirm-external");
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_THAT(ran.err, HasSubstr("Ctrl-C leaves it running"));
  EXPECT_THAT(ran.out, HasSubstr("distribute (step 2 of 5)"));
  EXPECT_THAT(ran.out, HasSubstr("drain (step 4 of 5)"));
  EXPECT_THAT(ran.out, HasSubstr("rotation 3 is done, begun 5 min ago: root " + std::string(64, 'b')));
  EXPECT_TRUE(rotation.begun_with.automatic);
  EXPECT_TRUE(rotation.begun_with.external_confirmed);
  EXPECT_FALSE(rotation.begun_with.emergency);
}

TEST_F(RootCommands, AProgramReadsAStatusALineAndTheLastIsFinal) {
  Script({Report(RotationStep::kDrain), Report(RotationStep::kDone)});
  const Ran ran = Run("root rotate --emergency --deadline 1h -o json");
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  const std::vector<std::string> lines = absl::StrSplit(ran.out, '\n', absl::SkipEmpty());
  ASSERT_EQ(lines.size(), 2u) << ran.out;
  EXPECT_THAT(lines[0], HasSubstr(R"({"step":"drain")"));
  EXPECT_THAT(lines[1], HasSubstr(R"({"step":"done")"));
  EXPECT_TRUE(rotation.begun_with.emergency);
  EXPECT_EQ(rotation.begun_with.deadline, clock.Now() + absl::Hours(1));
}

TEST_F(RootCommands, AnEmergencySaysWhatItWillDoBeforeItFollows) {
  RotationReport report = Report(RotationStep::kDistribute);
  report.rotation->emergency = true;
  report.emergency_grace = absl::Minutes(5);
  rotation.report = report;
  Script({report, report, Report(RotationStep::kDone)});
  const Ran ran = Run("root rotate --emergency");
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_FALSE(rotation.begun_with.waits_for_silent);
  EXPECT_THAT(ran.err, HasSubstr("not acknowledged 5 min after a step began are named, and it goes on without them"));

  report.emergency_grace = absl::InfiniteDuration();
  Script({report, report, Report(RotationStep::kDone)});
  const Ran waits = Run("root rotate --emergency --wait");
  EXPECT_EQ(waits.exit_code, 0) << waits.err;
  EXPECT_TRUE(rotation.begun_with.waits_for_silent);
  EXPECT_THAT(waits.err, HasSubstr("it waits for every subscriber, however long one is silent"));
}

TEST_F(RootCommands, RotateJoinsOneThatRunsIfItIsTheOneWanted) {
  rotation.answer = WithReason(absl::FailedPreconditionError("rotation 3 runs"), "ROTATION_RUNS");
  Script({Report(RotationStep::kDrain), Report(RotationStep::kDone)});
  const Ran joined = Run("root rotate");
  EXPECT_EQ(joined.exit_code, 0) << joined.err;
  EXPECT_THAT(joined.err, HasSubstr("rotation 3 runs already"));
  rotation.on_report = nullptr;
  for (const char* other : {"--emergency", "--emergency --deadline 1h", "--confirm-external"}) {
    const Ran refused = Run(absl::StrCat("root rotate ", other));
    EXPECT_EQ(refused.exit_code, 3) << other;
    EXPECT_THAT(refused.err, HasSubstr("rotation 3 runs (FailedPrecondition, ROTATION_RUNS)"));
  }
  rotation.report.rotation->rolled_back = true;
  EXPECT_EQ(Run("root rotate").exit_code, 3) << "it goes the other way";
}

TEST_F(RootCommands, OneThatWasAbortedMeanwhileIsAFailure) {
  Script({Report(RotationStep::kDistribute), RotationReport()});
  const Ran ran = Run("root rotate -o json");
  EXPECT_EQ(ran.exit_code, 1);
  EXPECT_THAT(ran.err, HasSubstr("rotation 3 was aborted"));
  EXPECT_THAT(ran.out, HasSubstr("\n{\"step\":\"none\""));
}

TEST_F(RootCommands, OneThatWasRolledBackMeanwhileIsAFailure) {
  RotationReport end = Report(RotationStep::kDone);
  end.rotation->rolled_back = true;
  Script({Report(RotationStep::kDrain), end});
  const Ran ran = Run("root rotate");
  EXPECT_EQ(ran.exit_code, 1);
  EXPECT_THAT(ran.err, HasSubstr("rotation 3 was rolled back"));
}

TEST_F(RootCommands, CtrlCLeavesItRunning) {
  // The first look is part of beginning, before anybody follows.
  rotation.on_report = [this, looks = 0]() mutable {
    if (++looks == 2) ::kill(::getpid(), SIGINT);
    return Report(RotationStep::kDrain);
  };
  const Ran ran = Run("root rotate");
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_THAT(ran.err, EndsWith("rotation 3 goes on; `meshca root status --watch` returns to it\n"));
}

TEST_F(RootCommands, DetachedItReturnsAtOnce) {
  const Ran ran = Run("root rotate --detach");
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_THAT(ran.out, HasSubstr("next: it goes on by itself: meshca root status --watch"));
}

TEST_F(RootCommands, AFollowerOutlivesARestartOfTheServer) {
  std::fflush(stdout);
  std::fflush(stderr);
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const UniqueFd saved_out(::dup(STDOUT_FILENO));
  const UniqueFd saved_err(::dup(STDERR_FILENO));
  ::dup2(ends[1], STDOUT_FILENO);
  ::dup2(ends[1], STDERR_FILENO);
  ::close(ends[1]);
  std::FILE* const lines = ::fdopen(ends[0], "r");
  const auto wait_for = [&](const char* words) {
    char line[65536];
    while (std::fgets(line, sizeof(line), lines) != nullptr) {
      if (absl::StrContains(line, words)) return true;
    }
    return false;
  };

  int exit_code = -1;
  std::thread command([&] { exit_code = RunLine("root status --watch -o json"); });
  const bool followed = wait_for(R"({"step":"drain")");
  StopServer();
  const bool noticed = wait_for("no answer for");
  rotation.report = Report(RotationStep::kDone);
  StartServer();
  const bool ended = wait_for(R"({"step":"done")");
  command.join();
  ::dup2(saved_out.get(), STDOUT_FILENO);
  ::dup2(saved_err.get(), STDERR_FILENO);
  std::fclose(lines);
  EXPECT_TRUE(followed);
  EXPECT_TRUE(noticed);
  EXPECT_TRUE(ended);
  EXPECT_EQ(exit_code, 0);
}

TEST_F(RootCommands, OnATerminalItDrawsABarInPlace) {
  Script({Report(RotationStep::kDistribute), Report(RotationStep::kDrain), Report(RotationStep::kDone)});
  std::fflush(stdout);
  const UniqueFd screen(::posix_openpt(O_RDWR | O_NOCTTY));
  ASSERT_TRUE(screen.valid());
  ASSERT_EQ(::grantpt(screen.get()), 0);
  ASSERT_EQ(::unlockpt(screen.get()), 0);
  const UniqueFd saved_out(::dup(STDOUT_FILENO));
  {
    const UniqueFd terminal(::open(::ptsname(screen.get()), O_RDWR | O_NOCTTY));
    winsize size = {};
    size.ws_col = 50;
    ::ioctl(terminal.get(), TIOCSWINSZ, &size);
    ::dup2(terminal.get(), STDOUT_FILENO);
  }
  const int exit_code = RunLine("root rotate");
  std::fflush(stdout);  // as main() does
  ::dup2(saved_out.get(), STDOUT_FILENO);
  // Nobody has the terminal open any more, so that its end comes after the last of the text.
  std::string text;
  char shown[4096];
  for (ssize_t count; (count = ::read(screen.get(), shown, sizeof(shown))) > 0;) {
    text.append(shown, static_cast<size_t>(count));
  }
  EXPECT_EQ(exit_code, 0);
  EXPECT_THAT(text, HasSubstr("rotation 3: distribute (step 2 of 5), for 5 min\r\n[######---"));
  EXPECT_THAT(text, HasSubstr("\033[3A\r\033[Jrotation 3: drain (step 4 of 5), for 5 min\r\n[##################---"));
  EXPECT_THAT(text, HasSubstr("\033[Jrotation 3 is done, begun 5 min ago"));
  for (const absl::string_view line : absl::StrSplit(text.substr(0, text.find("is done")), "\r\n")) {
    EXPECT_LT(line.size(), 50 + std::string("\033[3A\r\033[J").size()) << line;
  }
}

TEST_F(RootCommands, APlanChangesNothing) {
  RotationForecast forecast;
  forecast.steps = {{RotationStep::kDistribute, "publishes both roots", absl::Seconds(3)}};
  rotation.forecast = forecast;
  const Ran ran = Run("root rotate --plan");
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("publishes both roots"));
  EXPECT_THAT(Run("root rotate --plan -o json").out, HasSubstr(R"("about":"3s"})"));
  EXPECT_THAT(rotation.orders, IsEmpty());
}

TEST_F(RootCommands, StatusShowsEveryRoot) {
  const Ran ran = Run("root status");
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("drain (step 4 of 5)"));
  EXPECT_THAT(ran.out, HasSubstr(manager->Current()->issuing->root_id + "  active"));
  EXPECT_THAT(Run("root status -o yaml").out, HasSubstr("step: drain\n"));
  rotation.report.rotation->step = RotationStep::kDone;
  EXPECT_THAT(Run("root status --watch").out, HasSubstr("rotation      3")) << "nothing to follow";
}

TEST_F(RootCommands, ARefusalNamesEachOnALineOfItsOwn) {
  rotation.answer =
      WithReason(absl::FailedPreconditionError("2 subscribers would break\n  web\033[2J\n  db"), "ROTATION_UNSAFE");
  for (const char* verb : {"activate", "retire"}) {
    const Ran ran = Run(absl::StrCat("root ", verb));
    EXPECT_EQ(ran.exit_code, 3);
    EXPECT_EQ(ran.out, "");
    EXPECT_EQ(ran.err,
              "meshca: 2 subscribers would break (FailedPrecondition, ROTATION_UNSAFE)\n  web\\u{1b}[2J\n  db\n");
  }
}

TEST_F(RootCommands, EachVerbGivesItsOrder) {
  for (const char* line : {"prepare", "activate", "activate --force", "retire --force --confirm-external", "abort",
                           "rollback", "taint ABCDEF01"}) {
    const Ran ran = Run(absl::StrCat("root ", line));
    EXPECT_EQ(ran.exit_code, 0) << line << ": " << ran.err;
    EXPECT_THAT(ran.out, Not(IsEmpty())) << line;
  }
  std::vector<std::string> orders;
  for (const std::string& order : rotation.orders) orders.push_back(order.substr(0, order.find(" by ")));
  EXPECT_THAT(orders, testing::ElementsAre("begin", "activate force=0", "activate force=1",
                                           "retire force=1 confirmed=1", "abort", "rollback", "taint abcdef01"));
  EXPECT_FALSE(rotation.begun_with.automatic);
}

TEST_F(RootCommands, TaintWantsEnoughOfAnId) {
  const Ran ran = Run("root taint abc");
  EXPECT_EQ(ran.exit_code, 1);
  EXPECT_THAT(ran.err, HasSubstr("at least 8"));
}

TEST_F(RootCommands, EvictionShowsWhomItForgot) {
  SubscriberRecord gone;
  gone.instance = "i-1";
  gone.spiffe_id = "spiffe://cluster.local/web";
  SubscriberRecord here = gone;
  here.instance = "i-2";
  here.connected = true;
  subscribers.records = {gone, here};
  const Ran ran = Run("subscriber evict i-1");
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("connected     no, evicted\n"));
  EXPECT_EQ(Run("subscriber evict i-2").exit_code, 0) << "connected: its streams are ended";
  EXPECT_EQ(Run("subscriber evict i-3").exit_code, 1);
  EXPECT_THAT(Run("subscriber list").out, HasSubstr("no, evicted"));
}

}  // namespace
}  // namespace meshca::cli
