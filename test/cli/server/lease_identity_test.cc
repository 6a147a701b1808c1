#include "cli/server/lease_identity.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "test/fakes/fake_clock.h"

namespace meshca::cli {
namespace {

class LeaseIdentityTest : public testing::Test {
 protected:
  LeaseIdentityTest() {
    std::filesystem::create_directories(folder_);
    std::ofstream(LockFile()) << "1234\n";
  }
  std::string LockFile(const std::string& name = "meshca.db.lock") const { return (folder_ / name).string(); }
  kubernetes::LeaseTerms Terms(const std::string& file) {
    return LeaseTermsOf("web/meshca-0", file, clock_, SystemEntropy());
  }

  const std::filesystem::path folder_ =
      std::filesystem::path(testing::TempDir()) / testing::UnitTest::GetInstance()->current_test_info()->name();
  FakeClock clock_;
};

TEST_F(LeaseIdentityTest, ARestartOnTheSameDatabaseKeepsItAndIsAnotherProcess) {
  const kubernetes::LeaseTerms first = Terms(LockFile());
  const kubernetes::LeaseTerms second = Terms(LockFile());
  EXPECT_EQ(first.identity, second.identity);
  EXPECT_THAT(first.identity, testing::MatchesRegex("web/meshca-0_[0-9a-f]{16}"));
  EXPECT_NE(first.process, second.process);
}

TEST_F(LeaseIdentityTest, ACopyOfTheFolderHasAnother) {
  std::filesystem::copy_file(LockFile(), LockFile("copy"), std::filesystem::copy_options::overwrite_existing);
  EXPECT_NE(Terms(LockFile()).identity, Terms(LockFile("copy")).identity);
}

TEST_F(LeaseIdentityTest, AnotherBootHasAnotherForItMayBeAnotherMachine) {
  const std::string before = Terms(LockFile()).identity;
  clock_.Reboot(clock_.Now());
  EXPECT_NE(Terms(LockFile()).identity, before);
}

TEST_F(LeaseIdentityTest, WhereNothingIsKnownOfTheFileEveryStartHasAnother) {
  EXPECT_NE(Terms(LockFile("missing")).identity, Terms(LockFile("missing")).identity);
}

TEST(LeasePrefixTest, NamesThePodByItsNamespace) {
  EXPECT_EQ(LeasePrefix("web"), "web/" + LeasePrefix(""));
  EXPECT_FALSE(LeasePrefix("").empty());
}

}  // namespace
}  // namespace meshca::cli
