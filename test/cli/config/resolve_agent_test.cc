#include "cli/config/resolve_agent.h"

#include <unistd.h>

#include <fstream>
#include <map>
#include <set>
#include <string>

#include "absl/strings/match.h"
#include "cli/config/flags.h"
#include "cli/config/loader.h"
#include "cli/config/resolve.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/authn/refuses.h"

namespace meshca::config {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using AgentCode = absl::StatusCode;

ConfigInput AgentUser() {
  ConfigInput input;
  input.environment = {{"HOME", "/home/u"}};
  input.working_directory = "/home/node";
  input.flags["server"] = {"ca.example:15012"};
  return input;
}

TEST(ResolveAgent, EveryDefaultOfTheDesign) {
  const auto config = ResolveAgentConfig(AgentUser());
  ASSERT_TRUE(config.ok()) << config.status();
  const v1::AgentConfig& values = config->values;
  EXPECT_THAT(values.server(), ElementsAre("ca.example:15012"));
  EXPECT_FALSE(values.has_token_file());
  EXPECT_EQ(values.http_listen(), "127.0.0.1:15024") << "a server on the same host has 15014";
  EXPECT_EQ(values.keys().key_type(), v1::KEY_TYPE_EC_P256);
  EXPECT_EQ(values.keys().renew_at_percent(), 50u);
  EXPECT_EQ(values.log().level(), v1::LOG_LEVEL_INFO);
}

struct AgentPathCase {
  const char* name;
  bool root;
  std::map<std::string, std::string> environment;
  std::string state_dir_flag;
  std::string state_dir, sockets;
};
class AgentPaths : public testing::TestWithParam<AgentPathCase> {};

TEST_P(AgentPaths, AreItsOwnBesideAServers) {
  ConfigInput input;
  input.is_root = GetParam().root;
  input.environment = GetParam().environment;
  input.environment["MESHCA_AGENT_SERVER"] = "ca.example:15012";
  input.working_directory = "/home/node";
  if (!GetParam().state_dir_flag.empty()) input.flags["state_dir"] = {GetParam().state_dir_flag};
  for (auto* resolve : {&ResolveAgentConfig, &ResolveAgentPaths}) {
    const auto agent = resolve(input);
    ASSERT_TRUE(agent.ok()) << agent.status();
    EXPECT_EQ(agent->values.state_dir(), GetParam().state_dir);
    EXPECT_EQ(agent->values.admin_socket(), GetParam().sockets + "/admin.sock");
    EXPECT_EQ(agent->values.api_socket(), GetParam().sockets + "/api.sock");
  }
  if (!GetParam().state_dir_flag.empty()) return;
  const auto server = ResolveConfig(input);
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_NE(server->values.state_dir(), GetParam().state_dir);
  EXPECT_NE(server->values.admin_socket(), GetParam().sockets + "/admin.sock");
  EXPECT_NE(server->values.api_socket(), GetParam().sockets + "/api.sock");
}
INSTANTIATE_TEST_SUITE_P(
    Design, AgentPaths,
    testing::Values(
        AgentPathCase{"Root", true, {}, "", "/var/lib/meshca-agent", "/run/meshca/agent"},
        AgentPathCase{
            "User", false, {{"HOME", "/h"}}, "", "/h/.local/state/meshca-agent", "/h/.local/state/meshca-agent"},
        AgentPathCase{"Runtime",
                      false,
                      {{"HOME", "/h"}, {"XDG_RUNTIME_DIR", "/run/user/7"}},
                      "",
                      "/h/.local/state/meshca-agent",
                      "/run/user/7/meshca/agent"},
        AgentPathCase{
            "FolderOfOnesOwn", true, {{"XDG_RUNTIME_DIR", "/run/user/7"}}, "a", "/home/node/a", "/home/node/a"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(ResolveAgent, TakesFlagsBeforeVariablesBeforeTheFile) {
  char pattern[] = "/tmp/meshca-agent-config-XXXXXX";
  const std::string folder = mkdtemp(pattern);
  const std::string file = folder + "/agent.yaml";
  std::ofstream(file) << "server:\n- https://ca-1.example:15012\n- ca-2.example:15012\ntoken_file: token\n"
                         "keys: {renew_at_percent: 40}\nlog: {level: debug}\n";
  ConfigInput input = AgentUser();
  input.environment["MESHCA_AGENT_CONFIG"] = file;
  input.environment["MESHCA_AGENT_LOG_LEVEL"] = "warning";
  input.environment["MESHCA_LOG_LEVEL"] = "error";  // a server's
  input.flags = {{"keys.renew_at_percent", {"60"}}};
  const auto config = ResolveAgentConfig(input);
  unlink(file.c_str());
  rmdir(folder.c_str());
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_THAT(config->values.server(), ElementsAre("ca-1.example:15012", "ca-2.example:15012"));
  EXPECT_EQ(config->values.token_file(), folder + "/token");
  EXPECT_EQ(config->values.keys().renew_at_percent(), 60u);
  EXPECT_EQ(config->values.log().level(), v1::LOG_LEVEL_WARNING);
  EXPECT_THAT(config->warnings, IsEmpty()) << "a server's variable is no slip of an agent's";

  v1::AgentConfig again;
  Origins origins;
  ASSERT_TRUE(LoadYaml(config->ToYaml(true), "shown", "", again, origins).ok());
  EXPECT_EQ(again.SerializeAsString(), config->values.SerializeAsString());
}

struct AgentFault {
  const char* name;
  std::map<std::string, std::vector<std::string>> flags;
  std::string says;
};
class AgentFaults : public testing::TestWithParam<AgentFault> {};

TEST_P(AgentFaults, NameTheFlag) {
  ConfigInput input = AgentUser();
  for (const auto& [key, values] : GetParam().flags) input.flags[key] = values;
  EXPECT_THAT(ResolveAgentConfig(input), Refuses(AgentCode::kInvalidArgument, "CONFIG_INVALID", GetParam().says));
}
INSTANTIATE_TEST_SUITE_P(
    Rules, AgentFaults,
    testing::Values(
        AgentFault{"NoPort", {{"server", {"ca.example"}}}, "--server: expects HOST:PORT"},
        AgentFault{"NoHost", {{"server", {":15012"}}}, "--server: \":15012\" names no host"},
        AgentFault{"PortZero", {{"server", {"ca.example:0"}}}, "--server: nothing listens at port 0"},
        AgentFault{"Scheme", {{"server", {"http://ca.example:1"}}}, "--server: "},
        AgentFault{"Twice", {{"server", {"a.example:1,a.example:1"}}}, "--server: a.example:1 is named twice"},
        AgentFault{"Http", {{"http_listen", {"nowhere"}}}, "--http-listen: expects HOST:PORT"},
        AgentFault{"OneSocket", {{"admin_socket", {"/s"}}, {"api_socket", {"/s"}}}, "--api-socket: /s is taken"},
        AgentFault{"LongSocket", {{"api_socket", {"/" + std::string(120, 's')}}}, "--api-socket: the path of a Unix"},
        AgentFault{"Percent", {{"keys.renew_at_percent", {"95"}}}, "--keys-renew-at-percent: "}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(ResolveAgent, WithoutAServerIsNoConfiguration) {
  ConfigInput input = AgentUser();
  input.flags.clear();
  EXPECT_THAT(ResolveAgentConfig(input),
              Refuses(AgentCode::kInvalidArgument, "CONFIG_INVALID", "server: no CA is named; say which: --server"));
  EXPECT_TRUE(ResolveAgentPaths(input).ok()) << "whoever looks for a socket needs no CA";
  char pattern[] = "/tmp/meshca-agent-config-XXXXXX";
  const int fd = mkstemp(pattern);
  ASSERT_EQ(write(fd, "log: {level: debug}\n", 20), 20);
  close(fd);
  input.config_file = pattern;
  EXPECT_THAT(ResolveAgentConfig(input), Refuses(AgentCode::kInvalidArgument, "CONFIG_INVALID",
                                                 std::string(pattern) + ": server: no CA is named"));
  unlink(pattern);
}

TEST(ResolveAgent, StandardInputIsNoPath) {
  ConfigInput input = AgentUser();
  input.flags["token_file"] = {"-"};
  auto config = ResolveAgentConfig(input);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->values.token_file(), "-");
  v1::AgentConfig again;
  Origins origins;
  ASSERT_TRUE(LoadYaml(config->ToYaml(false), "shown", "/folder", again, origins).ok());
  EXPECT_EQ(again.token_file(), "-") << "from a file, too";
  input.flags["token_file"] = {"token"};
  input.flags["state_dir"] = {"-"};
  config = ResolveAgentConfig(input);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->values.token_file(), "/home/node/token");
  EXPECT_EQ(config->values.state_dir(), "/home/node/-") << "what is no file to read is a path";
}

TEST(ResolveAgent, PathsDoNotMindAnAddress) {
  ConfigInput input = AgentUser();
  input.flags["server"] = {"ca.example"};
  EXPECT_TRUE(ResolveAgentPaths(input).ok());
}

TEST(ResolveAgent, ASlipOfAVariableIsSaid) {
  ConfigInput input = AgentUser();
  input.environment["MESHCA_AGENT_TOKEN_FIEL"] = "x";
  const auto config = ResolveAgentConfig(input);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_THAT(config->warnings,
              ElementsAre("MESHCA_AGENT_TOKEN_FIEL: no key has this name; did you mean MESHCA_AGENT_TOKEN_FILE?"));
  input.flags.clear();
  const auto server = ResolveConfig(input);
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_THAT(server->warnings, IsEmpty()) << "it is an agent's";
}

TEST(AgentFlags, HaveNamesOfTheirOwn) {
  std::set<std::string> variables;
  for (const ConfigFlag& flag : ConfigFlags()) variables.insert(flag.environment);
  for (const ConfigFlag& flag : ConfigFlags(Program::kAgent)) {
    EXPECT_TRUE(variables.insert(flag.environment).second) << flag.environment << " is a server's, too";
    EXPECT_TRUE(absl::StartsWith(flag.environment, "MESHCA_AGENT_")) << flag.environment;
    EXPECT_GT(flag.help.size(), 10u) << flag.key;
  }
  EXPECT_TRUE(FindConfigFlag("server", Program::kAgent)->repeated);
  EXPECT_EQ(FindConfigFlag("server"), nullptr);
}

}  // namespace
}  // namespace meshca::config
