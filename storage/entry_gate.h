// Keeps single changes of registration entries and the judging of an apply apart.
#ifndef MESHCA_STORAGE_ENTRY_GATE_H_
#define MESHCA_STORAGE_ENTRY_GATE_H_

#include <chrono>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ca/base/mutex.h"

namespace meshca::storage {

// An apply is judged in many small transactions, and what lives must not change between them. Thread-safe.
class EntryGate {
 public:
  // How long a single change waits for an apply: well within the half minute that a command waits for its answer.
  static constexpr absl::Duration kWaitMax = absl::Seconds(10);

  // A single change: `deed`, when no apply is being judged. Unavailable: one was for all of kWaitMax.
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

  // `judge`, while no single change happens. One at a time.
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
