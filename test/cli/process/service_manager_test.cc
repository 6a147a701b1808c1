// The test plays the service manager: it owns the socket, and hands descriptors to a process that it forks.
#include "cli/process/service_manager.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <functional>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/fakes/status_matchers.h"
#include "test/fakes/temp_folder.h"

namespace meshca::cli {
namespace {

struct Heard {
  std::string text;
  UniqueFd fd;
};

class Manager {
 public:
  Manager() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path_.c_str(), sizeof address.sun_path - 1);
    EXPECT_EQ(bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    setenv("NOTIFY_SOCKET", path_.c_str(), 1);
  }
  ~Manager() { unsetenv("NOTIFY_SOCKET"); }

  // The oldest message that was not heard yet; it was sent already.
  Heard Hear() {
    char bytes[512];
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    iovec piece{bytes, sizeof bytes};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t size = recvmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    EXPECT_GE(size, 0);
    Heard heard{std::string(bytes, static_cast<size_t>(std::max<ssize_t>(size, 0))), UniqueFd()};
    if (const cmsghdr* rights = CMSG_FIRSTHDR(&message); rights != nullptr) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(rights), sizeof fd);
      heard.fd = UniqueFd(fd);
    }
    return heard;
  }

 private:
  const TempFolder temp_;
  const std::string path_ = temp_ / "notify";
  const UniqueFd socket_{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
};

bool SameFile(int a, int b) {
  struct stat one {
  }, other{};
  return fstat(a, &one) == 0 && fstat(b, &other) == 0 && one.st_ino == other.st_ino && one.st_dev == other.st_dev;
}

TEST(ServiceManagerTest, StoresADescriptorByItsNameAndLetsGoOfIt) {
  Manager manager;
  EXPECT_TRUE(HasServiceManager());
  const UniqueFd memory(memfd_create("test", MFD_CLOEXEC));
  ASSERT_THAT(StoreDescriptor("keys-1", memory.get()), IsOk());
  ASSERT_THAT(RemoveStoredDescriptor("keys-1"), IsOk());
  ASSERT_THAT(NotifyManager("READY=1"), IsOk());
  const Heard stored = manager.Hear();
  EXPECT_EQ(stored.text, "FDSTORE=1\nFDNAME=keys-1\nFDPOLL=0");
  EXPECT_TRUE(SameFile(stored.fd.get(), memory.get()));
  const Heard removed = manager.Hear();
  EXPECT_EQ(removed.text, "FDSTOREREMOVE=1\nFDNAME=keys-1");
  EXPECT_FALSE(removed.fd.valid());
  EXPECT_EQ(manager.Hear().text, "READY=1");
}

TEST(ServiceManagerTest, SaysThatNobodyListens) {
  { const Manager manager; }
  EXPECT_FALSE(HasServiceManager());
  EXPECT_THAT(NotifyManager("READY=1"), StatusIs(absl::StatusCode::kFailedPrecondition));
  setenv("NOTIFY_SOCKET", "/nowhere/notify", 1);
  EXPECT_THAT(NotifyManager("READY=1"), StatusIs(absl::StatusCode::kUnavailable));
  setenv("NOTIFY_SOCKET", std::string(200, '/').c_str(), 1);
  EXPECT_THAT(NotifyManager("READY=1"), StatusIs(absl::StatusCode::kFailedPrecondition));
  unsetenv("NOTIFY_SOCKET");
}

// Whether `passes` holds in a process that was started with memfds under the numbers 3 and 4.
bool InAServiceProcess(const std::function<void(pid_t)>& prepare, const std::function<bool()>& passes) {
  const pid_t child = fork();
  if (child == 0) {
    for (const int fd : {3, 4}) {
      const int memory = memfd_create("test", 0);
      if (memory != fd) dup2(memory, fd);
    }
    close(5);
    prepare(getpid());
    _exit(passes() ? 0 : 1);
  }
  int status = 0;
  return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void SetListening(const std::string& pid, const char* count, const char* names) {
  setenv("LISTEN_PID", pid.c_str(), 1);
  setenv("LISTEN_FDS", count, 1);
  setenv("LISTEN_FDNAMES", names, 1);
}

TEST(ServiceManagerTest, TakesWhatWasStoredForThisProcessOnce) {
  EXPECT_TRUE(InAServiceProcess([](pid_t pid) { SetListening(absl::StrCat(pid), "3", "keys-7:"); },
                                [] {
                                  const std::vector<StoredDescriptor> stored = TakeStoredDescriptors();
                                  return stored.size() == 2 && stored[0].name == "keys-7" && stored[0].fd.get() == 3 &&
                                         stored[1].name == "stored" && stored[1].fd.get() == 4 &&
                                         (fcntl(3, F_GETFD) & FD_CLOEXEC) != 0 && getenv("LISTEN_FDS") == nullptr &&
                                         getenv("LISTEN_PID") == nullptr && TakeStoredDescriptors().empty();
                                }));
}

TEST(ServiceManagerTest, TakesNothingThatIsForAnotherProcessOrCannotBe) {
  const auto nothing = [] { return TakeStoredDescriptors().empty() && fcntl(3, F_GETFD) >= 0; };
  EXPECT_TRUE(InAServiceProcess([](pid_t) { SetListening("1", "2", "a:b"); }, nothing));
  EXPECT_TRUE(InAServiceProcess([](pid_t pid) { SetListening(absl::StrCat(pid), "-1", "a:b"); }, nothing));
  EXPECT_TRUE(InAServiceProcess([](pid_t pid) { SetListening(absl::StrCat(pid), "99999999", "a:b"); }, nothing));
  EXPECT_TRUE(InAServiceProcess([](pid_t pid) { SetListening(absl::StrCat(pid), "", ""); }, nothing));
}

}  // namespace
}  // namespace meshca::cli
