// Lines to whoever reads the process's stderr, or has stopped to.
#ifndef MESHCA_CA_BASE_LINE_WRITER_H_
#define MESHCA_CA_BASE_LINE_WRITER_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/base/mutex.h"

namespace meshca {

// Thread-safe. A reader that stops (a stuck journal, a terminal that is scrolled back) would stop each thread that
// logs, and so the server. A line waits `patience` for room; from then on lines are lost at once, until there is room:
// then `loss_line` says how many were. Where nobody is left to read, lines are dropped.
class LineWriter {
 public:
  using LossLine = std::function<std::string(uint64_t lines)>;

  // `descriptor` is borrowed: a file, a terminal, a pipe or a socket, blocking or not.
  LineWriter(int descriptor, absl::Duration patience, LossLine loss_line);

  // `line` has no end of its own.
  void Write(absl::string_view line);

 private:
  // To `target`. False: no room for all of it by `until`.
  bool WriteText(int target, absl::string_view text, absl::Duration until) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // What was written of it, or -1 with errno.
  int64_t WriteSome(int target, absl::string_view text) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const int descriptor_;
  const absl::Duration patience_;
  const LossLine loss_line_;
  Mutex mutex_;
  bool socket_ ABSL_GUARDED_BY(mutex_) = true;  // until it has shown that it is none
  bool torn_ ABSL_GUARDED_BY(mutex_) = false;   // the last line was written in part
  uint64_t lost_ ABSL_GUARDED_BY(mutex_) = 0;   // since the last line that was written
};

}  // namespace meshca

#endif  // MESHCA_CA_BASE_LINE_WRITER_H_
