#include "cli/terminal/output.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace meshca::cli {
namespace {

// What became of one stream. Several threads may print.
struct Record {
  std::atomic<bool> used = false;
  std::atomic<int> error = 0;  // errno of the first write that failed
};
Record out_record, err_record;

Record* RecordOf(std::FILE* out) { return out == stdout ? &out_record : out == stderr ? &err_record : nullptr; }

void RememberFailure(std::FILE* out, int error) {
  Record* const record = RecordOf(out);
  int none = 0;
  if (record != nullptr) record->error.compare_exchange_strong(none, error == 0 ? EIO : error);
}

// A network file system may say only at close() that it has no room. A duplicate is closed, so the stream stays.
void FlushAndAsk(std::FILE* out) {
  Flush(out);
  const int copy = ::fcntl(::fileno(out), F_DUPFD_CLOEXEC, 3);
  if (copy >= 0 && ::close(copy) != 0 && errno != EINTR) RememberFailure(out, errno);
}

// As a program ends that does not know SIGPIPE. Whoever started us may have it ignored (systemd, some containers).
[[noreturn]] void EndByPipe() {
  std::signal(SIGPIPE, SIG_DFL);
  sigset_t pipe;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  ::pthread_sigmask(SIG_UNBLOCK, &pipe, nullptr);
  std::raise(SIGPIPE);
  ::_exit(128 + SIGPIPE);
}

absl::Status LostOutput(const char* stream, int error) {
  return absl::UnavailableError(absl::StrCat(stream, ": not all of the answer could be written: ", std::strerror(error),
                                             "; mend that and ask again; what the command changed stays changed"));
}

}  // namespace

void PutRaw(std::FILE* out, absl::string_view text) {
  if (text.empty()) return;
  if (Record* const record = RecordOf(out); record != nullptr) record->used = true;
  errno = 0;
  if (std::fwrite(text.data(), 1, text.size(), out) != text.size()) RememberFailure(out, errno);
}

void PutText(std::FILE* out, absl::string_view text) { PutRaw(out, PrintableLines(text)); }

void KeepOutputPrivate() {
  struct stat info;
  if (::fstat(STDOUT_FILENO, &info) != 0 || !S_ISREG(info.st_mode) || info.st_uid != ::geteuid()) return;
  if ((info.st_mode & 077) == 0) return;
  // A file system that has no modes lets in whom it likes, and whoever names a file there knows.
  if (::fchmod(STDOUT_FILENO, info.st_mode & 0700) != 0) errno = 0;
}

void Flush(std::FILE* out) {
  errno = 0;
  if (std::fflush(out) != 0) RememberFailure(out, errno);
}

absl::Status TakeOutputFailure() {
  Flush(stdout);
  const int error = out_record.error.exchange(0);
  return error == 0 ? absl::OkStatus() : LostOutput("standard output", error);
}

bool OutputBroken() { return out_record.error != 0; }

absl::Status FinishOutput() {
  if (out_record.used) FlushAndAsk(stdout);
  if (out_record.error == EPIPE) EndByPipe();
  if (out_record.error != 0) return LostOutput("standard output", out_record.error);
  // Advice beside an answer may be lost, and a caller without stderr (EBADF) asked for none.
  if (!out_record.used && err_record.error != 0 && err_record.error != EBADF) {
    if (err_record.error == EPIPE) EndByPipe();
    return LostOutput("standard error", err_record.error);
  }
  return absl::OkStatus();
}

void ReserveStandardDescriptors() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
    // The lowest free number is `fd`. The direction is the wrong one on purpose: using it stays an error.
    if (::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd) return;
  }
}

}  // namespace meshca::cli
