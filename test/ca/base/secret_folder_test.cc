#include "ca/base/secret_folder.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>
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

// What the system refuses its users it does not refuse root: root becomes another user first, in a process of its own.
TEST(SecretFolder, WhereItMayNotBeMadeSaysWhatToDo) {
  char pattern[] = "/tmp/meshca-private-XXXXXX";
  const std::string above = mkdtemp(pattern);
  const std::string folder = above + "/state";
  ASSERT_EQ(::chmod(above.c_str(), 0500), 0);
  EXPECT_EXIT(
      {
        constexpr uid_t kNobody = 65534;
        if (::geteuid() == 0 && ::setresuid(kNobody, kNobody, kNobody) != 0) std::_Exit(2);
        std::cerr << PrepareSecretFolder(folder, {}).message();
        std::_Exit(0);
      },
      ::testing::ExitedWithCode(0), AllOf(HasSubstr("make " + folder + ": "), HasSubstr("--state-dir DIR")));
  std::filesystem::remove_all(above);
}

}  // namespace
}  // namespace meshca
