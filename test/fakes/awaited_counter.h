// Counts on one thread what another waits for.
#ifndef MESHCA_TEST_FAKES_AWAITED_COUNTER_H_
#define MESHCA_TEST_FAKES_AWAITED_COUNTER_H_

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "ca/base/mutex.h"

namespace meshca {

// Thread-safe.
class AwaitedCounter {
 public:
  void Add() {
    MutexLock lock(mutex_);
    ++count_;
    changed_.NotifyAll();
  }
  // False: it did not come within a minute.
  bool Await(int count) {
    MutexLock lock(mutex_);
    while (count_ < count) {
      if (!changed_.WaitFor(mutex_, absl::Minutes(1))) return false;
    }
    return true;
  }
  int count() {
    MutexLock lock(mutex_);
    return count_;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  int count_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace meshca

#endif  // MESHCA_TEST_FAKES_AWAITED_COUNTER_H_
