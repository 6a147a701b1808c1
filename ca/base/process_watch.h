// Tells when processes of this machine have ended.
#ifndef MESHCA_CA_BASE_PROCESS_WATCH_H_
#define MESHCA_CA_BASE_PROCESS_WATCH_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "ca/base/mutex.h"
#include "ca/base/process_name.h"
#include "ca/base/unique_fd.h"

namespace meshca {

// Whom to ask when processes end. Thread-safe.
class ProcessWatch {
 public:
  // Is told of processes that have ended, each once. Runs on the watch's thread with no lock held.
  using Ended = std::function<void(const std::vector<ProcessName>&)>;
  virtual ~ProcessWatch() = default;

  // Called once, before anything else.
  virtual void Start(Ended ended) = 0;
  // From now on the end of `process` is told, once. False: it has ended already, and nothing will be told. A process
  // that cannot be watched, or for which there is no room, counts as one that never ends. Never blocks.
  virtual bool Watch(const ProcessName& process) = 0;
  // Watches no longer what `needed` is false for, unless Watch was called for it since the last Retain. `needed` runs
  // with a lock held: it must not call the watch.
  virtual void Retain(absl::FunctionRef<bool(const ProcessName&)> needed) = 0;
  // Returns when nothing is told any more. Idempotent; not to be called on the watch's thread.
  virtual void Shutdown() = 0;
};

// Asks the kernel: by a pidfd for each process, which one thread waits for. Where there is none (an old kernel, a
// filter, no descriptors left) that thread looks into /proc every second, at `looks_max` processes each time. A process
// has ended when its last thread has, reaped or not.
class SystemProcessWatch final : public ProcessWatch {
 public:
  struct Limits {
    size_t descriptors_max = 4096;  // and never more than a sixteenth of RLIMIT_NOFILE; 64 where that is below 65,536
    size_t processes_max = 65'536;
    size_t looks_max = 1000;
  };
  SystemProcessWatch() : SystemProcessWatch(Limits()) {}
  explicit SystemProcessWatch(Limits limits);
  ~SystemProcessWatch() override { Shutdown(); }

  void Start(Ended ended) override;
  bool Watch(const ProcessName& process) override;
  void Retain(absl::FunctionRef<bool(const ProcessName&)> needed) override;
  void Shutdown() override;

  size_t watched() const;
  size_t descriptors() const;

 private:
  struct Watched {
    uint64_t number = 0;  // names it in the epoll's events; numbers are never used again
    UniqueFd pidfd;       // invalid: it is looked at in /proc
    bool fresh = true;    // Watch was called since the last Retain
  };

  void Run();
  // The processes whose descriptors say that they ended.
  std::vector<ProcessName> TakeEnded(const std::vector<uint64_t>& numbers);
  // Of the processes without a descriptor, those that /proc says have ended.
  std::vector<ProcessName> LookIntoProc();
  void Erase(const ProcessName& process) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Limits limits_;
  Ended ended_;
  UniqueFd epoll_;
  UniqueFd wake_;  // written when the thread is to look again, or to end
  std::thread thread_;

  mutable Mutex mutex_;
  absl::flat_hash_map<ProcessName, Watched> watched_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<uint64_t, ProcessName> by_number_ ABSL_GUARDED_BY(mutex_);  // those with a descriptor
  std::vector<ProcessName> to_look_at_ ABSL_GUARDED_BY(mutex_);  // without one, in turn; some may be watched no longer
  uint64_t numbers_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace meshca

#endif  // MESHCA_CA_BASE_PROCESS_WATCH_H_
