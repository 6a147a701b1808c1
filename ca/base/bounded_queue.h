// A queue with a size, classes and an answer for when it is full.
#ifndef MESHCA_CA_BASE_BOUNDED_QUEUE_H_
#define MESHCA_CA_BASE_BOUNDED_QUEUE_H_

#include <array>
#include <cstddef>
#include <deque>
#include <optional>
#include <utility>

#include "ca/base/mutex.h"

namespace meshca {

// `kClasses` first-in-first-out lanes behind one lock; lane 0 is served first. Each lane has its own limit, so a full
// lane of bulk work never turns a renewal away. Thread-safe.
template <typename T, size_t kClasses = 1>
class BoundedQueue {
 public:
  explicit BoundedQueue(std::array<size_t, kClasses> limits) : limits_(limits) {}

  // False when the lane is full or the queue is closed; `item` is then untouched.
  bool TryPush(T& item, size_t lane = 0) {
    {
      MutexLock lock(mutex_);
      if (closed_ || lanes_[lane].size() >= limits_[lane]) return false;
      lanes_[lane].push_back(std::move(item));
      if (waiting_ == 0) return true;
    }
    ready_.NotifyOne();
    return true;
  }

  // Blocks for the next item; nothing once the queue is closed and empty.
  std::optional<T> Pop() {
    MutexLock lock(mutex_);
    for (;;) {
      for (auto& lane : lanes_) {
        if (lane.empty()) continue;
        std::optional<T> item(std::move(lane.front()));
        lane.pop_front();
        return item;
      }
      if (closed_) return std::nullopt;
      ++waiting_;
      ready_.Wait(mutex_);
      --waiting_;
    }
  }

  // Would TryPush be refused for want of room?
  bool full(size_t lane = 0) const {
    MutexLock lock(mutex_);
    return lanes_[lane].size() >= limits_[lane];
  }
  size_t size(size_t lane = 0) const {
    MutexLock lock(mutex_);
    return lanes_[lane].size();
  }

  // No more pushes; poppers drain what is there and then end.
  void Close() {
    {
      MutexLock lock(mutex_);
      closed_ = true;
    }
    ready_.NotifyAll();
  }

 private:
  const std::array<size_t, kClasses> limits_;
  mutable Mutex mutex_;
  CondVar ready_;
  std::array<std::deque<T>, kClasses> lanes_ ABSL_GUARDED_BY(mutex_);
  size_t waiting_ ABSL_GUARDED_BY(mutex_) = 0;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace meshca

#endif  // MESHCA_CA_BASE_BOUNDED_QUEUE_H_
