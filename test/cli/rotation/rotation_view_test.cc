#include "cli/rotation/rotation_view.h"

#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "test/cli/rotation/rotation_messages.h"
#include "test/cli/terminal/captured.h"

namespace meshca::cli {
namespace {

namespace v1 = ::meshca::admin::v1;

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::string Printed(const v1::RotationStatus& status) {
  Captured captured;
  PrintRotation(status, captured.out());
  return captured.Text();
}

std::string Printed(const v1::RotationForecast& forecast) {
  Captured captured;
  PrintForecast(forecast, captured.out());
  return captured.Text();
}

v1::RotationStatus Waiting() {
  v1::RotationStatus status = RunningRotation("distribute");
  status.set_subscribers_behind(2);
  status.set_leaves_behind(12);
  status.set_waiting_for("2 subscribers have not acknowledged bundle 4");
  status.mutable_ends_about()->set_seconds(kNow + 12 * 3600);
  v1::Laggard& connected = *status.add_laggards() = Behind("not-acknowledged", "i-1");
  connected.set_connected(true);
  connected.set_bundle_sequence(3);
  v1::Laggard& gone = *status.add_laggards() = Behind("not-acknowledged", "i-2");
  gone.mutable_until()->set_seconds(kNow + 7200);
  return status;
}

TEST(RotationView, SaysTheWholePictureWithWhatToDo) {
  EXPECT_EQ(Printed(Waiting()),
            "rotation      3, goes on by itself\n"
            "begun         2026-01-02 02:54:05 UTC by uid 0 pid 1\n"
            "step          distribute (step 2 of 5) since 2026-01-02 03:00:05 UTC, 4 min\n"
            "goes          old-root\n"
            "stays         new-root\n"
            "bundle        version 4 holds both\n"
            "progress      2 of 40 subscribers and 12 certificates are behind, as of 2026-01-02 03:04:04 UTC\n"
            "waiting       2 subscribers have not acknowledged bundle 4\n"
            "ends          in about 12 h, 2026-01-02 15:04:05 UTC\n"
            "\n"
            "who is behind\n"
            "  spiffe://a.test/web on n1 (i-1): holds bundle 3, needs 4; since 2026-01-02 03:01:05 UTC (3 min); counts "
            "for as long as it is connected\n"
            "      -> it is connected: look at its log, restart it, or go on without it: meshca subscriber evict i-1\n"
            "  spiffe://a.test/web on n1 (i-2): has acknowledged no bundle, needs 4; since 2026-01-02 03:01:05 UTC (3 "
            "min); counts until 2026-01-02 05:04:05 UTC (2 h more)\n"
            "      -> gone for good? meshca subscriber evict i-2\n"
            "  and 12 more\n"
            "\n"
            "ROOT      STATE     LIVE  UNTIL (UTC)          SUBJECT\n"
            "old-root  active    12    2026-01-03 03:04:05  CN=root old-root\n"
            "new-root  prepared  0     2026-01-03 03:04:05  CN=root new-root\n"
            "\n"
            "next: it goes on by itself: meshca root status --watch follows it; meshca root abort takes it back\n");
}

TEST(RotationView, BeforeTheFirstRotationItSaysHowToBegin) {
  v1::RotationStatus status;
  status.set_step("none");
  AddRoot("only-root", "active", 3, status);
  EXPECT_EQ(Printed(status),
            "rotation      there never was one\n"
            "\n"
            "ROOT       STATE   LIVE  UNTIL (UTC)          SUBJECT\n"
            "only-root  active  3     2026-01-03 03:04:05  CN=root only-root\n"
            "\n"
            "next: meshca root rotate --plan says what a rotation would do and who would break\n");
}

TEST(RotationView, OneThatHasEndedWaitsForNothing) {
  v1::RotationStatus status = RunningRotation("done");
  status.set_running(false);
  status.set_retire_sequence(5);
  status.set_forced("uid 0 pid 1 retired root old-root; that broke 1 subscriber");
  const std::string text = Printed(status);
  EXPECT_THAT(text, HasSubstr("went          old-root\nstayed        new-root\n"));
  EXPECT_THAT(text, HasSubstr("forced        uid 0 pid 1 retired"));
  EXPECT_THAT(text, Not(HasSubstr("progress")));
  EXPECT_THAT(text, Not(HasSubstr("ends  ")));
}

TEST(RotationView, AnEmergencySaysAtItsStartWhatItWillDo) {
  v1::RotationStatus status = RunningRotation("distribute");
  EXPECT_THAT(EmergencyLines(status), testing::IsEmpty());
  status.set_emergency(true);
  status.mutable_emergency_grace()->set_seconds(300);
  EXPECT_THAT(EmergencyLines(status),
              testing::ElementsAre(HasSubstr("the root that goes is tainted"),
                                   HasSubstr("not acknowledged 5 min after a step began are named, and it goes on"),
                                   HasSubstr("--deadline cuts them off")));
  status.clear_emergency_grace();
  status.mutable_deadline()->set_seconds(kNow + 3600);
  EXPECT_THAT(EmergencyLines(status),
              testing::ElementsAre(testing::_, HasSubstr("it waits for every subscriber, however long"),
                                   HasSubstr("is behind at 2026-01-02 04:04:05 UTC is named and cut off")));
  status.set_running(false);
  EXPECT_THAT(EmergencyLines(status), testing::IsEmpty());
}

TEST(RotationView, TheEndOfTheGraceIsShownWhileItRuns) {
  v1::RotationStatus status = RunningRotation("distribute");
  EXPECT_THAT(Printed(status), Not(HasSubstr("grace")));
  status.mutable_grace_ends()->set_seconds(kNow + 60);
  EXPECT_THAT(Printed(status), HasSubstr("grace         2026-01-02 03:05:05 UTC: subscribers that are silent then"));
}

TEST(RotationView, WhatIsWrongIsLoud) {
  v1::RotationStatus status = RunningRotation("drain");
  status.set_emergency(true);
  status.set_rolled_back(true);
  status.set_frozen("the clock jumped 2 h ahead");
  status.set_error("disk full");
  status.set_authority_error("plugged-in CA: held");
  status.add_warnings("no cross-certificate: pathLenConstraint 1");
  status.mutable_deadline()->set_seconds(kNow + 3600);
  const std::string text = Printed(status);
  EXPECT_THAT(text, HasSubstr("EMERGENCY"));
  EXPECT_THAT(text, HasSubstr("ROLLED BACK"));
  EXPECT_THAT(text, HasSubstr("FROZEN        the clock jumped 2 h ahead; nothing moves"));
  EXPECT_THAT(text, HasSubstr("ERROR         disk full\nERROR         plugged-in CA: held\n"));
  EXPECT_THAT(text, HasSubstr("warning       no cross-certificate"));
  EXPECT_THAT(text, HasSubstr("deadline      2026-01-02 04:04:05 UTC: whoever is behind then is cut off"));
  EXPECT_THAT(text, HasSubstr("ends          nobody can know"));
}

struct NextCase {
  std::string name;
  std::string step;
  bool automatic;
  bool rolled_back;
  std::string next;
};
class RotationNext : public testing::TestWithParam<NextCase> {};
TEST_P(RotationNext, SaysWhatMayBeDone) {
  v1::RotationStatus status = RunningRotation(GetParam().step);
  status.set_automatic(GetParam().automatic);
  status.set_rolled_back(GetParam().rolled_back);
  EXPECT_THAT(Printed(status), HasSubstr("\nnext: " + GetParam().next + "\n"));
}
INSTANTIATE_TEST_SUITE_P(
    Steps, RotationNext,
    testing::Values(
        NextCase{
            "ByHandBeforeActivation", "distribute", false, false,
            "meshca root activate, which refuses while somebody would break; or meshca root rotate, and it goes on "
            "by itself; meshca root abort takes it back"},
        NextCase{"ByHandBeforeRetirement", "drain", false, false,
                 "meshca root retire, which refuses while somebody would break; or meshca root rotate, and it goes on "
                 "by itself; meshca root rollback takes it back"},
        NextCase{"ByItself", "reissue", true, false,
                 "it goes on by itself: meshca root status --watch follows it; meshca root rollback takes it back"},
        NextCase{"OnTheWayBack", "drain", true, true, "it goes on by itself: meshca root status --watch follows it"},
        NextCase{"AtTheEndNothingIsTakenBack", "retire", false, false,
                 "it goes on by itself: meshca root status --watch follows it"}),
    [](const auto& info) { return info.param.name; });

struct LaggardCase {
  std::string name;
  v1::Laggard laggard;
  std::string step;
  std::string line;
  std::string advice;
};
class LaggardText : public testing::TestWithParam<LaggardCase> {};
TEST_P(LaggardText, SaysWhyAndWhatHelps) {
  v1::RotationStatus status = RunningRotation(GetParam().step);
  status.set_retire_sequence(GetParam().step == "retire" ? 5 : 0);
  EXPECT_THAT(LaggardLine(GetParam().laggard, status), HasSubstr(GetParam().line));
  EXPECT_THAT(LaggardAdvice(GetParam().laggard), HasSubstr(GetParam().advice));
}
v1::Laggard With(const std::string& reason, void (*change)(v1::Laggard&)) {
  v1::Laggard laggard = Behind(reason, "i-1");
  change(laggard);
  return laggard;
}
INSTANTIATE_TEST_SUITE_P(
    Reasons, LaggardText,
    testing::Values(
        LaggardCase{"BeforeTheEndItNeedsTheBundleWithoutTheOldRoot",
                    With("not-acknowledged", [](v1::Laggard& l) { l.set_bundle_sequence(4); }), "retire",
                    "holds bundle 4, needs 5", "evict i-1"},
        LaggardCase{"WhatAProxySaidIsNoEscapeSequence",
                    With("rejected",
                         [](v1::Laggard& l) {
                           l.set_connected(true);
                           l.set_bundle_sequence(3);
                           l.set_detail("bad\033[2J root");
                         }),
                    "distribute",
                    "rejected the bundle, holds bundle 3, needs 4; since 2026-01-02 03:01:05 UTC (3 min); "
                    "counts for as long as it is connected: bad\\u{1b}[2J root",
                    "look at its log"},
        LaggardCase{"OldKey", With("old-key", [](v1::Laggard& l) { l.set_serial("ab12"); }), "drain",
                    "its key is under the old root, certificate ab12", "evict i-1"},
        LaggardCase{"NoKeyYet", With("old-key", [](v1::Laggard&) {}), "drain",
                    "has not acknowledged a key under the new root", "evict"},
        LaggardCase{"ForeignLeaf",
                    With("live-leaf",
                         [](v1::Laggard& l) {
                           l.clear_instance();
                           l.set_serial("ab12");
                           l.set_via("token 77");
                         }),
                    "drain", "spiffe://a.test/web on n1: certificate ab12 of token 77 is not renewed", "renew it"},
        LaggardCase{"RenewedByItsKubelet",
                    With("live-leaf",
                         [](v1::Laggard& l) {
                           l.set_detail("or restart the pod");
                           l.mutable_renews_by()->set_seconds(kNow + 60);
                         }),
                    "drain", "renews by itself at the latest at 2026-01-02 03:05:05 UTC: or restart the pod", ""},
        LaggardCase{"RootsElsewhere", With("roots-unobserved", [](v1::Laggard&) {}), "retire",
                    "takes its key here and its roots elsewhere", "--confirm-external"},
        LaggardCase{"AnObjectThatCannotBeWritten",
                    With("rejected",
                         [](v1::Laggard& l) {
                           l.set_connected(true);
                           l.clear_spiffe_id();
                           l.clear_node();
                           l.set_instance("ConfigMap web/roots");
                           l.set_via("published");
                           l.set_detail("HTTP 403");
                         }),
                    "distribute",
                    "ConfigMap web/roots: not as it should be; since 2026-01-02 03:01:05 UTC (3 min): HTTP 403",
                    "it is written again by itself"},
        LaggardCase{"AReasonOfANewerServer", With("something-new", [](v1::Laggard&) {}), "drain", ": something-new;",
                    ""},
        LaggardCase{"ExportedAuthority",
                    With("exported-authority",
                         [](v1::Laggard& l) {
                           l.clear_spiffe_id();
                           l.set_instance("issuing authority 3fa9c2e1b0d45678");
                           l.set_detail("what it signed is not known here");
                         }),
                    "drain", "issuing authority 3fa9c2e1b0d45678: may sign elsewhere under the old root", ""},
        LaggardCase{"WithoutAName", With("live-leaf", [](v1::Laggard& l) { l.clear_spiffe_id(); }), "drain",
                    "(no identity) on n1", ""}),
    [](const auto& info) { return info.param.name; });

TEST(LaggardAdvice, IsTheServersWhereItGaveSome) {
  v1::Laggard laggard = Behind("live-leaf", "");
  laggard.set_detail("ask its owner");
  EXPECT_EQ(LaggardAdvice(laggard), "");
}

TEST(RotationLines, FitAFewLinesOfATerminal) {
  v1::RotationStatus status = Waiting();
  for (int i = 3; i < 9; ++i) *status.add_laggards() = Behind("live-leaf", "");
  const std::vector<std::string> lines = RotationLines(status, 2);
  ASSERT_EQ(lines.size(), 7u);
  EXPECT_EQ(lines[0], "rotation 3: distribute (step 2 of 5), for 4 min");
  EXPECT_EQ(lines[1], "[##########--------------------]  34 %  2 of 40 subscribers and 12 certificates are behind");
  EXPECT_EQ(lines[2], "2 subscribers have not acknowledged bundle 4");
  EXPECT_EQ(lines[3], "ends in about 12 h, 2026-01-02 15:04:05 UTC");
  EXPECT_THAT(lines[4], HasSubstr("(i-1)"));
  EXPECT_THAT(lines[5], HasSubstr("(i-2)"));
  EXPECT_EQ(lines[6], "  and 12 more: meshca root status");
}

TEST(RotationLines, NobodyBehindIsNoList) {
  v1::RotationStatus status = RunningRotation("reissue");
  status.set_reissue_left(1);
  EXPECT_THAT(RotationLines(status, 5),
              ElementsAre("rotation 3: reissue (step 3 of 5), for 4 min",
                          "[#################-------------]  59 %  nobody is behind (40 subscribers)",
                          "1 key to re-issue", "ends nobody can know: somebody who is connected has to act first"));
}

TEST(RotationPart, OnlyGrowsAlongTheWay) {
  v1::RotationStatus status = RunningRotation("prepare");
  EXPECT_DOUBLE_EQ(RotationPart(RunningRotation("none")), 0);
  double last = 0;
  for (const char* step : {"prepare", "distribute", "reissue", "drain", "retire"}) {
    status.set_step(step);
    status.set_subscribers_behind(40);
    status.set_reissue_left(100);
    const double begin = RotationPart(status);
    status.set_subscribers_behind(10);
    status.set_reissue_left(10);
    const double later = RotationPart(status);
    EXPECT_GE(begin, last) << step;
    EXPECT_GT(later, begin) << step;
    last = later;
  }
  EXPECT_DOUBLE_EQ(RotationPart(RunningRotation("done")), 1);
}

TEST(RotationLine, IsOneLine) {
  v1::RotationStatus status = Waiting();
  status.set_frozen("clock\njumped");
  EXPECT_EQ(RotationLine(status),
            "distribute (step 2 of 5): 2 of 40 subscribers and 12 certificates are behind; 2 subscribers have not "
            "acknowledged bundle 4; FROZEN: clock\\njumped");
}

TEST(Forecast, SaysHowLongAndWhoWouldBreak) {
  v1::RotationForecast forecast;
  v1::RotationForecast::Step& first = *forecast.add_steps();
  first.set_step("distribute");
  first.set_what("publishes both roots");
  first.mutable_about()->set_seconds(5);
  v1::RotationForecast::Step& second = *forecast.add_steps();
  second.set_step("drain");
  second.set_what("waits for the last old certificate");
  forecast.set_subscribers(40);
  forecast.set_live_leaves(1);
  forecast.set_leaves_at_risk(3);
  *forecast.add_at_risk() = With("live-leaf", [](v1::Laggard& l) { l.set_serial("ab12"); });
  forecast.add_warnings("no cross-certificate");
  EXPECT_EQ(
      Printed(forecast),
      "STEP        ABOUT            WHAT\n"
      "distribute  5 s              publishes both roots\n"
      "drain       nobody can know  waits for the last old certificate\n"
      "\n"
      "in all        nobody can know: somebody who is connected has to act first\n"
      "concerns      40 subscribers and 1 live certificate\n"
      "warning       no cross-certificate\n"
      "at risk       forced through at once it would break 0 subscribers and 3 certificates; unforced it waits for "
      "them\n"
      "  spiffe://a.test/web on n1 (i-1): certificate ab12 is not renewed\n"
      "  and 2 more\n"
      "\n"
      "nothing was changed; next: meshca root rotate\n");
  forecast.clear_leaves_at_risk();
  forecast.mutable_total()->set_seconds(12 * 3600);
  EXPECT_THAT(Printed(forecast), HasSubstr("in all        about 12 h\n"));
  EXPECT_THAT(Printed(forecast), HasSubstr("at risk       nobody"));
}

}  // namespace
}  // namespace meshca::cli
