#include "ca/base/secret_access.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <string>

#include "ca/base/file.h"
#include "ca/base/unique_fd.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/fakes/temp_folder.h"

namespace meshca {
namespace {

using ::testing::HasSubstr;

constexpr uid_t kUser = 54'321, kOther = 54'322;
constexpr gid_t kGroup = 54'321, kFsGroup = 54'400, kNotOurs = 54'500;

const ProcessOwner kWorkload = {kUser, {kFsGroup, kGroup}};

struct AccessCase {
  const char* name;
  FileOwner file;
  ProcessOwner process;
  Access access;
};

class SecretAccess : public testing::TestWithParam<AccessCase> {};

TEST_P(SecretAccess, IsJudgedByOwnerGroupAndMode) {
  EXPECT_EQ(JudgeAccess(GetParam().file, GetParam().process), GetParam().access);
}

INSTANTIATE_TEST_SUITE_P(
    Owners, SecretAccess,
    testing::Values(AccessCase{"OursAlone", {kUser, kGroup, 0600}, kWorkload, Access::kSafe},
                    AccessCase{"OursReadOnly", {kUser, kGroup, 0400}, kWorkload, Access::kSafe},
                    AccessCase{"OursForTheFsGroup", {kUser, kFsGroup, 0660}, kWorkload, Access::kSetBack},
                    AccessCase{"OursForOthers", {kUser, kGroup, 0604}, kWorkload, Access::kSetBack},
                    AccessCase{"OurFolderOnAVolume", {kUser, kFsGroup, 02770}, kWorkload, Access::kSetBack},
                    AccessCase{"RootsAlone", {0, 0, 0400}, kWorkload, Access::kSafe},
                    AccessCase{"RootsForTheFsGroup", {0, kFsGroup, 0440}, kWorkload, Access::kSafe},
                    AccessCase{"RootsForOurOwnGroup", {0, kGroup, 0440}, kWorkload, Access::kSafe},
                    AccessCase{"RootsForAGroupNotOurs", {0, kNotOurs, 0440}, kWorkload, Access::kOpenToOthers},
                    AccessCase{"RootsForOthers", {0, kFsGroup, 0444}, kWorkload, Access::kOpenToOthers},
                    AccessCase{"TopOfAVolume", {0, kFsGroup, 02775}, kWorkload, Access::kOpenToOthers},
                    AccessCase{"AnotherUsers", {kOther, kFsGroup, 0440}, kWorkload, Access::kForeignOwner},
                    AccessCase{"AnotherUsersAlone", {kOther, kOther, 0600}, kWorkload, Access::kForeignOwner},
                    AccessCase{"AUsersForRoot", {kUser, kGroup, 0600}, {0, {0}}, Access::kForeignOwner},
                    AccessCase{"RootsOwnForItsGroup", {0, 0, 0440}, {0, {0}}, Access::kSetBack}),
    [](const auto& info) { return std::string(info.param.name); });

// What a process of another user reads: as root, really tried. Without root's rights nobody can be played but oneself.
struct FileCase {
  const char* name;
  uid_t owner;
  gid_t group;
  mode_t mode;
  int64_t link_owner;  // of a link that leads to the file; -1: none
  const char* words;   // "": it is read
  mode_t mode_after;
};

class SecretFile : public testing::TestWithParam<FileCase> {};

// "" or the refusal, as the workload's user sees it.
std::string ReadAsWorkload(const std::string& path) {
  std::array<int, 2> pipe_ends = {};
  if (pipe(pipe_ends.data()) != 0) return "no pipe";
  UniqueFd from(pipe_ends[0]), to(pipe_ends[1]);
  const pid_t child = fork();
  if (child == 0) {
    const gid_t groups[] = {kFsGroup};
    std::string said = "cannot become another user";
    if (setgroups(1, groups) == 0 && setresgid(kGroup, kGroup, kGroup) == 0 && setresuid(kUser, kUser, kUser) == 0) {
      const auto bytes = ReadFile(path, 100, FileSecrecy::kSecret);
      said = bytes.ok() ? (*bytes == "key" ? "" : "other bytes") : std::string(bytes.status().message());
    }
    const bool written = write(to.get(), said.data(), said.size()) == static_cast<ssize_t>(said.size());
    _exit(written ? 0 : 1);
  }
  to.Reset();
  std::string said;
  std::array<char, 1024> buffer = {};
  for (ssize_t n; (n = read(from.get(), buffer.data(), buffer.size())) > 0;) said.append(buffer.data(), n);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  return said;
}

TEST_P(SecretFile, IsReadOrRefusedWithWhatToDo) {
  const FileCase& wanted = GetParam();
  TempFolder folder;
  const std::string path = folder / "key", link = folder / "link";
  std::ofstream(path) << "key";
  if (geteuid() != 0) {
    // The one row that is everybody's.
    ASSERT_EQ(chmod(path.c_str(), 0660), 0);
    EXPECT_EQ(ReadFile(path, 100, FileSecrecy::kSecret).value(), "key");
    return;
  }
  ASSERT_EQ(chmod(folder.path().c_str(), 0755), 0);
  ASSERT_EQ(chown(path.c_str(), wanted.owner, wanted.group), 0);
  ASSERT_EQ(chmod(path.c_str(), wanted.mode), 0);
  const bool by_link = wanted.link_owner >= 0;
  if (by_link) {
    ASSERT_EQ(symlink("key", link.c_str()), 0);
    ASSERT_EQ(lchown(link.c_str(), static_cast<uid_t>(wanted.link_owner), kGroup), 0);
  }
  const std::string said = ReadAsWorkload(by_link ? link : path);
  if (*wanted.words == '\0') {
    EXPECT_EQ(said, "");
  } else {
    EXPECT_THAT(said, HasSubstr(wanted.words));
  }
  struct stat after = {};
  ASSERT_EQ(stat(path.c_str(), &after), 0);
  EXPECT_EQ(after.st_mode & 07777, wanted.mode_after);
}

// Who may write into a folder can make a link there that leads to any file of the host.
TEST(SecretFileByALink, IsRefusedWhereverInThePathSomebodyElseMadeTheLink) {
  if (geteuid() != 0) GTEST_FAIL() << "only root can play another user";
  TempFolder folder;
  ASSERT_EQ(mkdir((folder / "roots").c_str(), 0755), 0);
  std::ofstream(folder / "roots/key") << "key";
  ASSERT_EQ(chmod((folder / "roots/key").c_str(), 0644), 0);
  ASSERT_EQ(symlink("roots", (folder / "near").c_str()), 0);
  ASSERT_EQ(symlink((folder / "near").c_str(), (folder / "far").c_str()), 0);
  EXPECT_TRUE(ReadFile(folder / "far/key", 100, FileSecrecy::kSecret).ok()) << "root's own links";
  ASSERT_EQ(chmod((folder / "roots/key").c_str(), 0644), 0);
  ASSERT_EQ(lchown((folder / "near").c_str(), kUser, kGroup), 0);
  for (const char* path : {"near/key", "far/key", "far/../near/./key"}) {
    const auto read = ReadFile(folder / path, 100, FileSecrecy::kSecret);
    EXPECT_THAT(std::string(read.status().message()), HasSubstr("/near in its path is a symbolic link that user"))
        << path;
  }
  struct stat after = {};
  ASSERT_EQ(stat((folder / "roots/key").c_str(), &after), 0);
  EXPECT_EQ(after.st_mode & 07777, 0644u) << "nobody's file was changed on the way";
}

INSTANTIATE_TEST_SUITE_P(
    Files, SecretFile,
    testing::Values(
        FileCase{"OursAlone", kUser, kGroup, 0600, -1, "", 0600},
        FileCase{"OursForTheFsGroupIsSetBack", kUser, kFsGroup, 0660, -1, "", 0600},
        FileCase{"OursReadOnlyIsSetBack", kUser, kFsGroup, 0440, -1, "", 0400},
        FileCase{"OursForOthersIsSetBack", kUser, kGroup, 0644, -1, "", 0600},
        FileCase{"RootsForTheFsGroup", 0, kFsGroup, 0440, -1, "", 0440},
        FileCase{"RootsForTheFsGroupToWrite", 0, kFsGroup, 0660, -1, "", 0660},
        FileCase{"RootsForOurOwnGroup", 0, kGroup, 0440, -1, "", 0440},
        FileCase{"RootsForOthers", 0, kFsGroup, 0444, -1, "`defaultMode: 0440`", 0444},
        FileCase{"RootsForOthersNamesFsGroup", 0, kNotOurs, 0444, -1, "`fsGroup` in the pod's securityContext", 0444},
        FileCase{"RootsForAGroupNotOurs", 0, kNotOurs, 0440, -1, "it belongs to user 0, group 54500, mode 0440", 0440},
        FileCase{"AnotherUsers", kOther, kFsGroup, 0440, -1, "belongs to user 54322", 0440},
        FileCase{"AnotherUsersNamesTheChown", kOther, kFsGroup, 0640, -1, "chown 54321 ", 0640},
        FileCase{"ThroughRootsLink", 0, kFsGroup, 0440, 0, "", 0440},
        FileCase{"ThroughOurLink", kUser, kGroup, 0600, kUser, "", 0600},
        FileCase{"ThroughAnotherUsersLink", 0, kFsGroup, 0440, kOther, "symbolic link that user 54322 made", 0440}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(SecretAccessFolder, SaysWhatHelpsOnAVolume) {
  struct stat info = {};
  info.st_mode = S_IFDIR | 02775;
  info.st_uid = geteuid() == 0 ? kOther : 0;
  info.st_gid = kFsGroup;
  const absl::Status refused = CheckAccess("/var/lib/meshca", info);
  EXPECT_TRUE(absl::IsPermissionDenied(refused));
  EXPECT_THAT(std::string(refused.message()),
              HasSubstr("name one inside it, such as /var/lib/meshca/state, which meshca makes for itself alone"));
}

}  // namespace
}  // namespace meshca
