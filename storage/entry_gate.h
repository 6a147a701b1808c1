// Prevents that a single registration entry is changed while an apply of many is compared with the entries in force.
#ifndef MESHCA_STORAGE_ENTRY_GATE_H_
#define MESHCA_STORAGE_ENTRY_GATE_H_

#include <chrono>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ca/base/mutex.h"

namespace meshca::storage {

// An apply is compared in many small transactions, and the entries in force must not change between them. Thread-safe.
class EntryGate {
 public:
  // How long a single change waits for an apply. Clearly less than the half minute that a command waits for its answer.
  static constexpr absl::Duration kWaitMax = absl::Seconds(10);

  // Runs `deed`, a single change, when no apply is being compared, and returns its status. Unavailable: after kWaitMax
  // one still was.
  template <typename Deed>
  absl::Status Change(Deed deed) {
    {
      MutexLock lock(mutex_);
      const auto end = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(kWaitMax);
      while (judging_) {
        if (!moved_.WaitFor(mutex_, kWaitMax) && std::chrono::steady_clock::now() >= end) {
          return absl::UnavailableError("many entries are being applied; try again when that has ended");
        }
      }
      ++changes_;
    }
    absl::Status status = deed();
    MutexLock lock(mutex_);
    --changes_;
    moved_.NotifyAll();
    return status;
  }

  // Waits until no single change is running, then runs `judge` while none can begin, and returns its result. Only one
  // call at a time.
  template <typename Judge>
  auto Judging(Judge judge) {
    {
      MutexLock lock(mutex_);
      judging_ = true;
      while (changes_ > 0) moved_.Wait(mutex_);
    }
    auto result = judge();
    MutexLock lock(mutex_);
    judging_ = false;
    moved_.NotifyAll();
    return result;
  }

 private:
  Mutex mutex_;
  CondVar moved_;
  bool judging_ ABSL_GUARDED_BY(mutex_) = false;
  int changes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_ENTRY_GATE_H_
