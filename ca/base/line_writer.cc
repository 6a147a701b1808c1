#include "ca/base/line_writer.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/clock.h"
#include "ca/base/unique_fd.h"

namespace meshca {
namespace {

// By this clock the wait ends although the wall clock is set back meanwhile: every thread that logs waits for it.
absl::Duration SinceBootNow() { return SystemClock().SinceBoot(); }

bool WaitForRoom(int descriptor, absl::Duration until) {
  pollfd room = {descriptor, POLLOUT, 0};
  for (;;) {
    const absl::Duration left = std::max(until - SinceBootNow(), absl::ZeroDuration());
    const int ready =
        ::poll(&room, 1, static_cast<int>(absl::ToInt64Milliseconds(absl::Ceil(left, absl::Milliseconds(1)))));
    // An error of the descriptor's is told by the write that follows.
    if (ready >= 0 || errno != EINTR) return ready != 0;
  }
}

// A pipe that others write to as well, or a terminal, may have room when it is asked and none for the write that
// follows. To set O_NONBLOCK on `descriptor` would set it for every process that shares it.
UniqueFd OpenWithoutBlocking(int descriptor) {
  struct stat file = {};
  if (::fstat(descriptor, &file) != 0 || (!S_ISFIFO(file.st_mode) && !S_ISCHR(file.st_mode))) return UniqueFd();
  const std::string path = absl::StrCat("/proc/self/fd/", descriptor);
  return UniqueFd(::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_APPEND | O_CLOEXEC | O_NOCTTY));
}

}  // namespace

LineWriter::LineWriter(int descriptor, absl::Duration patience, LossLine loss_line)
    : descriptor_(descriptor), patience_(patience), loss_line_(std::move(loss_line)) {}

void LineWriter::Write(absl::string_view line) {
  std::string text;
  MutexLock lock(mutex_);
  // Who has waited once for this reader does not wait again.
  const absl::Duration patience = lost_ > 0 ? absl::ZeroDuration() : patience_;
  if (torn_) text = "\n";
  if (lost_ > 0) absl::StrAppend(&text, loss_line_(lost_), "\n");
  absl::StrAppend(&text, line, "\n");
  // For each line anew: what the descriptor stands for may be exchanged.
  const UniqueFd without_blocking = OpenWithoutBlocking(descriptor_);
  if (WriteText(without_blocking.valid() ? without_blocking.get() : descriptor_, text, SinceBootNow() + patience)) {
    lost_ = 0;
  } else {
    ++lost_;
  }
}

bool LineWriter::WriteText(int target, absl::string_view text, absl::Duration until) {
  while (!text.empty()) {
    if (!WaitForRoom(target, until)) return false;
    const int64_t written = WriteSome(target, text);
    if (written >= 0) {
      text.remove_prefix(static_cast<size_t>(written));
      torn_ = !text.empty();
    } else if (errno == EAGAIN) {
      // Another writer was faster: of a pipe or socket that several processes share.
      if (SinceBootNow() >= until) return false;
    } else if (errno != EINTR) {
      // Nobody reads, or the disk is full: there is nowhere to say so.
      return true;
    }
  }
  return true;
}

int64_t LineWriter::WriteSome(int target, absl::string_view text) {
  if (socket_) {
    const ssize_t sent = ::send(target, text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0 || errno != ENOTSOCK) return sent;
    socket_ = false;
  }
  // A pipe with any room has room for that much, so that the write does not block where it could not be opened anew.
  return ::write(target, text.data(), std::min<size_t>(text.size(), PIPE_BUF));
}

}  // namespace meshca
