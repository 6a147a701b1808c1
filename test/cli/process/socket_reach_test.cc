#include "cli/process/socket_reach.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace meshca::cli {
namespace {

using ::testing::HasSubstr;

TEST(SocketReach, NamesTheFirstFolderThatLetsNoOtherUserPass) {
  char pattern[] = "/tmp/meshca-reach-XXXXXX";
  const std::string folder = mkdtemp(pattern);
  std::filesystem::create_directories(folder + "/state/run");
  const auto why = [&folder] { return WhyOthersCannotReach(folder + "/state/run/api.sock"); };
  ASSERT_EQ(chmod((folder + "/state").c_str(), 0750), 0);
  EXPECT_EQ(why(), folder + " (mode 0700) lets no other user pass");
  ASSERT_EQ(chmod(folder.c_str(), 0711), 0);
  EXPECT_EQ(why(), folder + "/state (mode 0750) lets no other user pass");
  EXPECT_THAT(ShutSocketNote(why()), HasSubstr("--api-socket PATH"));
  ASSERT_EQ(chmod((folder + "/state").c_str(), 0751), 0);
  ASSERT_EQ(chmod((folder + "/state/run").c_str(), 0755), 0);
  EXPECT_EQ(why(), "");
  EXPECT_EQ(ShutSocketNote(why()), "");
  std::filesystem::remove_all(folder);
  EXPECT_EQ(why(), "") << "what is not there shuts nobody out";
}

}  // namespace
}  // namespace meshca::cli
