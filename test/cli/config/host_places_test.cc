#include "cli/config/host_places.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "cli/config/resolve_agent.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace meshca::config {
namespace {

// An ordinary user's home beside a folder in which root's programs have their sockets. Files stand in for sockets.
class HostPlacesTest : public testing::Test {
 protected:
  HostPlacesTest() {
    char pattern[] = "/tmp/meshca-places-XXXXXX";
    folder_ = mkdtemp(pattern);
    input_.environment = {{"HOME", folder_ + "/home"}};
    input_.working_directory = folder_;
    input_.run_folder = folder_ + "/run";
  }
  ~HostPlacesTest() override { std::filesystem::remove_all(folder_); }

  void Make(const std::string& path) {
    std::filesystem::create_directories(std::filesystem::path(folder_ + path).parent_path());
    std::ofstream(folder_ + path) << "";
  }
  HostPlaces Find(Program program) const {
    const auto places = FindHostPlaces(input_, program);
    EXPECT_TRUE(places.ok()) << places.status();
    return places.value_or(HostPlaces());
  }

  std::string folder_;
  ConfigInput input_;
};

TEST_F(HostPlacesTest, AnOrdinaryUserFindsWhatRootRuns) {
  for (const char* path : {"/run/agent/api.sock", "/run/agent/admin.sock", "/run/public/api.sock", "/run/admin.sock"}) {
    Make(path);
  }
  EXPECT_EQ(Find(Program::kAgent).api_socket, folder_ + "/run/agent/api.sock");
  EXPECT_EQ(Find(Program::kAgent).admin_socket, folder_ + "/run/agent/admin.sock");
  EXPECT_EQ(Find(Program::kServer).api_socket, folder_ + "/run/public/api.sock");
  EXPECT_EQ(Find(Program::kServer).admin_socket, folder_ + "/run/admin.sock");
  EXPECT_EQ(Find(Program::kServer).state_dir, folder_ + "/home/.local/state/meshca") << "root's state is no user's";
}

TEST_F(HostPlacesTest, AUsersOwnProgramGoesBeforeRoots) {
  Make("/run/agent/api.sock");
  Make("/home/.local/state/meshca-agent/api.sock");
  EXPECT_EQ(Find(Program::kAgent).api_socket, folder_ + "/home/.local/state/meshca-agent/api.sock");
}

TEST_F(HostPlacesTest, WithNeitherItIsTheUsersOwnThatIsMissing) {
  EXPECT_EQ(Find(Program::kAgent).api_socket, folder_ + "/home/.local/state/meshca-agent/api.sock");
  EXPECT_EQ(Find(Program::kServer).admin_socket, folder_ + "/home/.local/state/meshca/admin.sock");
}

TEST_F(HostPlacesTest, APlaceThatWasNamedIsTheOneThatIsMeant) {
  Make("/run/agent/api.sock");
  Make("/run/agent/admin.sock");
  input_.flags["api_socket"] = {"/nowhere/api.sock"};
  EXPECT_EQ(Find(Program::kAgent).api_socket, "/nowhere/api.sock");
  EXPECT_EQ(Find(Program::kAgent).admin_socket, folder_ + "/run/agent/admin.sock");
  input_.flags = {};
  input_.environment["MESHCA_AGENT_STATE_DIR"] = "/nowhere";
  EXPECT_EQ(Find(Program::kAgent).api_socket, "/nowhere/api.sock");
  EXPECT_EQ(Find(Program::kAgent).admin_socket, "/nowhere/admin.sock");
}

TEST_F(HostPlacesTest, TheFlagThatFindsASocketIsTheOneThatMovedIt) {
  const auto flag = [this] {
    const auto config = ResolveAgentPaths(input_);
    EXPECT_TRUE(config.ok()) << config.status();
    return FlagToFind(config->origins, "api_socket", config->values.api_socket(), config->values.state_dir());
  };
  EXPECT_EQ(flag(), "");
  input_.flags["state_dir"] = {"/s"};
  EXPECT_EQ(flag(), " --state-dir /s");
  input_.environment["MESHCA_AGENT_API_SOCKET"] = "/a/api.sock";
  EXPECT_EQ(flag(), " --api-socket /a/api.sock") << "--state-dir alone names /s/api.sock";
}

}  // namespace
}  // namespace meshca::config
