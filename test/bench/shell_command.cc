#include "test/bench/shell_command.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"

extern char** environ;

namespace meshca::bench {
namespace {

std::string HowItEnded(int status) {
  if (WIFSIGNALED(status)) return absl::StrCat("was ended by signal ", WTERMSIG(status));
  return absl::StrCat("exited with ", WEXITSTATUS(status));
}

absl::Status Judge(const std::string& line, int status) {
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return absl::OkStatus();
  return absl::UnknownError(absl::StrCat("the command `", line, "` ", HowItEnded(status)));
}

}  // namespace

absl::StatusOr<std::unique_ptr<ShellCommand>> ShellCommand::Start(const std::string& line) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  std::string shell = "/bin/sh";
  std::string flag = "-c";
  std::string text = line;
  const std::array<char*, 4> arguments = {shell.data(), flag.data(), text.data(), nullptr};
  pid_t pid = 0;
  const int error = posix_spawn(&pid, shell.c_str(), &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return ErrnoStatus(error, absl::StrCat("run ", line));
  UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  std::unique_ptr<ShellCommand> command(new ShellCommand(line, pid, std::move(pidfd)));
  if (!command->pidfd_.valid()) return ErrnoStatus(errno, "pidfd_open");
  return command;
}

ShellCommand::~ShellCommand() {
  if (reaped_) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

bool ShellCommand::HasEnded() const {
  pollfd ended = {pidfd_.get(), POLLIN, 0};
  return reaped_ || poll(&ended, 1, 0) == 1;
}

absl::Status ShellCommand::Reap() {
  int status = 0;
  if (waitpid(pid_, &status, 0) != pid_) return ErrnoStatus(errno, "waitpid");
  reaped_ = true;
  return Judge(line_, status);
}

absl::StatusOr<std::string> LastLineOf(const std::string& line) {
  FILE* const output = popen(line.c_str(), "re");
  if (output == nullptr) return ErrnoStatus(errno, absl::StrCat("run ", line));
  std::string last;
  std::string current;
  for (int c = getc(output); c != EOF; c = getc(output)) {
    if (c != '\n') {
      current.push_back(static_cast<char>(c));
    } else if (!current.empty()) {
      last = std::exchange(current, "");
    }
  }
  if (!current.empty()) last = current;
  MESHCA_RETURN_IF_ERROR(Judge(line, pclose(output)));
  if (last.empty()) return absl::UnknownError(absl::StrCat("the command `", line, "` printed nothing"));
  return last;
}

}  // namespace meshca::bench
