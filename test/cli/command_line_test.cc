#include "cli/command_line.h"

#include <gmock/gmock.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "cli/completion.h"

namespace meshca::cli {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

int RunLine(const std::string& line) {
  std::vector<std::string> words = {"meshca"};
  for (absl::string_view word : absl::StrSplit(line, ' ', absl::SkipEmpty())) words.emplace_back(word);
  std::vector<const char*> argv;
  for (const std::string& word : words) argv.push_back(word.c_str());
  return RunCommandLine(static_cast<int>(argv.size()), argv.data());
}

struct LineCase {
  std::string name;
  std::string line;
  int exit_code;
  std::string words;  // on stderr or, for help, on stdout
};

class CommandLine : public testing::TestWithParam<LineCase> {};

TEST_P(CommandLine, EndsWithItsExitCodeAndWords) {
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  const int code = RunLine(GetParam().line);
  const std::string printed = testing::internal::GetCapturedStdout() + testing::internal::GetCapturedStderr();
  EXPECT_EQ(code, GetParam().exit_code) << printed;
  EXPECT_THAT(printed, HasSubstr(GetParam().words));
}

constexpr char kNowhere[] = " --state-dir /nonexistent/meshca";

INSTANTIATE_TEST_SUITE_P(
    Lines, CommandLine,
    testing::Values(
        LineCase{"Version", "version", 0, "meshca "}, LineCase{"VersionJson", "version -o json", 0, R"({"version":")"},
        LineCase{"GlobalBeforeTheCommand", "-o json version", 0, R"({"version":")"},
        LineCase{"Help", "--help", 0, "request"}, LineCase{"HelpOfAVerb", "token create --help", 0, "--ttl"},
        LineCase{"NoCommand", "", 2, "meshca --help"}, LineCase{"UnknownCommand", "frobnicate", 2, "frobnicate"},
        LineCase{"NounAlone", "token", 2, "meshca token --help"},
        LineCase{"NounAloneNamesItsVerbs", "workload", 2, "a command is missing; there are x509, jwt, bundles"},
        LineCase{"UnknownVerb", "workload bogus", 2, "there is no \"bogus\"; there are x509, jwt, bundles"},
        LineCase{"UnknownOptionOfANoun", "workload --bogus", 2, "there is no option \"--bogus\""},
        LineCase{"UsageHasTheWholeName", "workload x509 --help", 0, "Usage: meshca workload x509 [OPTIONS]"},
        LineCase{"HelpPointsToGlobalOptions", "node list --help", 0, "meshca --help"},
        LineCase{"HelpOfTheAgentHasItsPlaces", "agent --help", 0, "MESHCA_AGENT_API_SOCKET"},
        LineCase{"HelpOfTheAgentHasItsFile", "agent --help", 0, "MESHCA_AGENT_CONFIG"},
        LineCase{"HelpOfTheAgentHasTheToken", "agent --help", 0, "meshca token create --node NODE --out token"},
        LineCase{"HelpOfTheServerHasItsPlaces", "serve --help", 0, "(MESHCA_STATE_DIR)"},
        LineCase{"GlobalHelpKnowsTheAgent", "--help", 0, "MESHCA_AGENT_STATE_DIR"},
        LineCase{"AnAgentHasNoDatabase", "db check --agent", 2, "ask without --agent"},
        LineCase{"ConfigurationOfAnAgentWithoutCa", "config validate --agent", 1, "no CA is named"},
        LineCase{"UnknownOption", "status --frobnicate", 2, "--frobnicate"},
        LineCase{"BadFormat", "status -o xml", 2, "table, json, yaml"},
        LineCase{"TokenWithoutId", "token create", 2, "SPIFFE_ID"},
        LineCase{"NoServer", std::string("status") + kNowhere, 1, "no meshca server listens at"},
        LineCase{"BadTtl", std::string("token create spiffe://a.test/b --ttl soon") + kNowhere, 2, "--ttl"},
        LineCase{"RequestBadId", "request web", 2, "SPIFFE_ID: "},
        LineCase{"RequestDotSegment", "request spiffe://a.test/a/../b", 2, "dot segment"},
        LineCase{"RequestBadKeyType", "request spiffe://a.test/b --key-type dsa", 2, "ec-p256"},
        LineCase{"RequestServerWithoutTrust", "request spiffe://a.test/b --server 127.0.0.1:1", 2, "--ca-fingerprint"},
        LineCase{"RequestBadFingerprint", "request spiffe://a.test/b --server 127.0.0.1:1 --ca-fingerprint 12", 2,
                 "64 hex digits"},
        LineCase{"RequestBadAddress", "request spiffe://a.test/b --server here --token x", 2, "HOST:PORT"},
        LineCase{"RequestServerAsUrl", "request spiffe://a.test/b --server https://127.0.0.1:1/", 2,
                 "how to know the CA at 127.0.0.1:1; give --ca-fingerprint"},
        LineCase{"RequestServerOfPlainHttp", "request spiffe://a.test/b --server http://127.0.0.1:1 --token x", 2,
                 "--server: \"http://127.0.0.1:1\" is plain HTTP"},
        LineCase{"RequestServerWithAPath", "request spiffe://a.test/b --server https://127.0.0.1:1/ca --token x", 2,
                 "--server: \"https://127.0.0.1:1/ca\" has a path"},
        LineCase{"RequestQuotedToken", "request spiffe://a.test/b --server 127.0.0.1:1 --token \"meshca-jt1.x\"", 2,
                 "--token: quotation marks"},
        LineCase{"RequestBrokenToken", "request spiffe://a.test/b --server 127.0.0.1:1 --token meshca-jt1.x", 2,
                 "--token"},
        LineCase{"RequestCertWithoutKey", "request spiffe://a.test/b --cert c.pem", 2, "--key"},
        LineCase{"RequestTwoProofs", "request spiffe://a.test/b --token x --jwt-file y", 2, "excludes"},
        LineCase{"RenewNothingNamed", std::string("cert renew") + kNowhere, 2, "--id GLOB"},
        LineCase{"RevokeNothingNamed", std::string("cert revoke") + kNowhere, 2,
                 "give exactly one of SERIAL, --id GLOB, --issuer ID, --node NAME and --entry ID"},
        LineCase{"RevokeTwoThingsNamed", std::string("cert revoke --node n --id * --dry-run") + kNowhere, 2,
                 "give exactly one of SERIAL, --id GLOB, --issuer ID, --node NAME and --entry ID"},
        LineCase{"RevokeForNoReasonOfTheRfc", std::string("cert revoke --node n --reason theft") + kNowhere, 2,
                 "keyCompromise"},
        LineCase{"RevokeWithoutServer", std::string("cert revoke --node n --reason KEYCOMPROMISE") + kNowhere, 1,
                 "no meshca server listens at"},
        LineCase{"BadTime", std::string("cert list --expires-before tomorrow") + kNowhere, 2, "2026-11-23"},
        LineCase{"PlanChangesNothing", "root rotate --plan --detach", 2, "--plan excludes --detach"},
        LineCase{"PlanOfAnEmergency", "root rotate --plan --emergency", 2, "--plan excludes --emergency"},
        LineCase{"DeadlineWithoutEmergency", "root rotate --deadline 1h", 2, "--deadline requires --emergency"},
        LineCase{"BadDeadline", std::string("root rotate --emergency --deadline soon") + kNowhere, 2, "--deadline: "},
        LineCase{"DeadlineOfNoTime", std::string("root rotate --emergency --deadline 0s") + kNowhere, 2, "above 0"},
        LineCase{"WaitWithoutEmergency", "root rotate --wait", 2, "--wait requires --emergency"},
        LineCase{"WaitWithADeadline", "root rotate --emergency --wait --deadline 1h", 2, "excludes"},
        LineCase{"EvictTwoWays", std::string("subscriber evict i-1 --uid 7") + kNowhere, 2, "exactly one"},
        LineCase{"EvictNoUid", std::string("subscriber evict --uid web") + kNowhere, 2, "--uid: expects the number"},
        LineCase{"RotateWithoutServer", std::string("root rotate") + kNowhere, 1, "no meshca server listens at"},
        LineCase{"StatusWithoutServer", std::string("root status --watch") + kNowhere, 1, "no meshca server listens"},
        LineCase{"ForceIsForActivateAndRetire", "root abort --force", 2, "--force"},
        LineCase{"TaintWhat", "root taint", 2, "ID"}, LineCase{"EvictWhom", "subscriber evict", 2, "INSTANCE"},
        LineCase{"UnknownShell", "completion tcsh", 2, "tcsh"}),
    [](const auto& info) { return info.param.name; });

TEST(Completion, KnowsEveryCommandAndOption) {
  Session session;
  const auto tree = BuildTree(session);
  std::vector<std::string> paths;
  for (const CompletionPoint& point : CompletionPoints(*tree)) paths.push_back(absl::StrJoin(point.path, " "));
  for (const char* path : {"",
                           "serve",
                           "status",
                           "check",
                           "request",
                           "root show",
                           "root rotate",
                           "root status",
                           "root prepare",
                           "root activate",
                           "root retire",
                           "root abort",
                           "root rollback",
                           "root taint",
                           "root import",
                           "root export",
                           "cert list",
                           "cert show",
                           "cert renew",
                           "cert revoke",
                           "cert tree",
                           "token create",
                           "token list",
                           "token delete",
                           "entry create",
                           "entry apply",
                           "entry list",
                           "entry show",
                           "entry delete",
                           "bundle show",
                           "subscriber list",
                           "subscriber show",
                           "subscriber evict",
                           "sds get",
                           "sds watch",
                           "health",
                           "config validate",
                           "config show",
                           "db backup",
                           "db restore",
                           "db check",
                           "audit list",
                           "completion",
                           "version"}) {
    EXPECT_THAT(paths, Contains(std::string(path)));
  }
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const auto script = CompletionScript(*tree, shell);
    ASSERT_TRUE(script.ok());
    EXPECT_THAT(*script, HasSubstr("ca-fingerprint")) << shell;
    EXPECT_THAT(*script, HasSubstr("subscriber")) << shell;
  }
}

// A command without help, or an option without, is one nobody finds.
TEST(Tree, SaysWhatEverythingIsFor) {
  Session session;
  const auto tree = BuildTree(session);
  for (const CompletionPoint& point : CompletionPoints(*tree)) {
    for (const CompletionWord& word : point.commands) EXPECT_FALSE(word.help.empty()) << word.word;
    for (const CompletionWord& word : point.options) EXPECT_FALSE(word.help.empty()) << word.word;
  }
}

}  // namespace
}  // namespace meshca::cli
