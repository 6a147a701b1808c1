#include "ca/base/file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/fakes/temp_folder.h"

namespace meshca {
namespace {

using ::testing::HasSubstr;

class FileTest : public testing::Test {
 protected:
  std::string Path(const std::string& name) const { return folder_ / name; }
  std::string Make(const std::string& name, const std::string& bytes, mode_t mode) {
    std::ofstream(Path(name)) << bytes;
    chmod(Path(name).c_str(), mode);
    return Path(name);
  }
  size_t CountFiles() const {
    return std::distance(std::filesystem::directory_iterator(folder_.path()), std::filesystem::directory_iterator());
  }

  TempFolder folder_;
};

TEST_F(FileTest, ReadsWhatIsThere) {
  EXPECT_EQ(ReadFile(Make("a", "hello", 0644), 5, FileSecrecy::kPublic).value(), "hello");
  EXPECT_EQ(ReadFile(Make("b", "", 0600), 5, FileSecrecy::kSecret).value(), "");
  EXPECT_EQ(ReadFile(Make("c", "k", 0400), 5, FileSecrecy::kSecret).value(), "k");
}

TEST_F(FileTest, RefusesMoreThanItMayHold) {
  absl::Status status = ReadFile(Make("a", "123456", 0600), 5, FileSecrecy::kSecret).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("larger than 5 bytes"));
}

TEST_F(FileTest, MissingFileIsNotFoundAndNamed) {
  absl::Status status = ReadFile(Path("nothing"), 5, FileSecrecy::kPublic).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr(Path("nothing")));
}

TEST_F(FileTest, ASecretOfOursThatOthersCouldReadIsSetBackAndACertificateIsLeftAlone) {
  const std::string secret = Make("secret", "k", 0644), certificate = Make("certificate", "c", 0644);
  EXPECT_EQ(ReadFile(secret, 5, FileSecrecy::kSecret).value(), "k");
  EXPECT_EQ(ReadFile(certificate, 5, FileSecrecy::kPublic).value(), "c");
  struct stat info;
  ASSERT_EQ(stat(secret.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  ASSERT_EQ(stat(certificate.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0644u);
}

TEST_F(FileTest, RefusesWhatIsNoRegularFileWithoutHanging) {
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0600), 0);
  for (const std::string& path : {Path("fifo"), folder_.path()}) {
    absl::Status status = ReadFile(path, 5, FileSecrecy::kPublic).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr("not a regular file"));
  }
}

TEST_F(FileTest, CreateMakesItPrivateAndNeverReplaces) {
  ASSERT_TRUE(CreatePrivateFile(Path("key"), "first").ok());
  struct stat stat;
  ASSERT_EQ(::stat(Path("key").c_str(), &stat), 0);
  EXPECT_EQ(stat.st_mode & 07777, 0600u);
  EXPECT_EQ(CreatePrivateFile(Path("key"), "second").code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(ReadFile(Path("key"), 10, FileSecrecy::kSecret).value(), "first");
  EXPECT_EQ(CountFiles(), 1u) << "a temporary file stayed behind";
}

TEST_F(FileTest, ReplacePutsTheNewOneInItsPlace) {
  ASSERT_TRUE(ReplacePrivateFile(Path("key"), "first").ok());
  ASSERT_TRUE(ReplacePrivateFile(Path("key"), "second").ok());
  EXPECT_EQ(ReadFile(Path("key"), 10, FileSecrecy::kSecret).value(), "second");
  EXPECT_EQ(CountFiles(), 1u);
}

TEST_F(FileTest, CreateInAMissingFolderSaysSo) {
  EXPECT_EQ(CreatePrivateFile(Path("none/key"), "x").code(), absl::StatusCode::kNotFound);
}

TEST(FolderOf, IsWhatStandsBeforeTheLastSlash) {
  EXPECT_EQ(FolderOf("/a/b"), "/a");
  EXPECT_EQ(FolderOf("/a"), "/");
  EXPECT_EQ(FolderOf("a/b"), "a");
  EXPECT_EQ(FolderOf("a"), ".");
}

TEST_F(FileTest, OfManyCreatorsOneWins) {
  std::atomic<int> made{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      absl::Status status = CreatePrivateFile(Path("key"), std::string(32, static_cast<char>('a' + i)));
      if (status.ok()) ++made;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(made, 1);
  EXPECT_EQ(ReadFile(Path("key"), 64, FileSecrecy::kSecret)->size(), 32u);
  EXPECT_EQ(CountFiles(), 1u);
}

}  // namespace
}  // namespace meshca
