#include "ca/base/secret_folder.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace meshca {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(SecretFolder, IsMadeWithWhatIsMissingAboveIt) {
  char pattern[] = "/tmp/meshca-private-XXXXXX";
  const std::string root = mkdtemp(pattern);
  const std::string folder = root + "/a/b";
  ASSERT_TRUE(PrepareSecretFolder(folder, {}).ok());
  ASSERT_TRUE(PrepareSecretFolder(folder, {}).ok()) << "it is there";
  struct stat info {};
  ASSERT_EQ(::stat(folder.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0700u);
  std::filesystem::remove_all(root);
}

// Nobody makes a folder in /sys, not even root.
TEST(SecretFolder, WhereItMayNotBeMadeSaysWhatToDo) {
  EXPECT_THAT(std::string(PrepareSecretFolder("/sys/meshca", {}).message()),
              AllOf(HasSubstr("make /sys/meshca: "), HasSubstr("--state-dir DIR")));
}

}  // namespace
}  // namespace meshca
