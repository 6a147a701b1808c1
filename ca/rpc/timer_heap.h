// The timers of one loop: members of what they watch, so they end with it and setting one allocates nothing.
#ifndef MESHCA_CA_RPC_TIMER_HEAP_H_
#define MESHCA_CA_RPC_TIMER_HEAP_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace meshca::rpc {

class TimerHeap;

// Base of what wants to be woken at a time. Must be cancelled before it is destroyed.
class Timer {
 public:
  Timer() = default;
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  // Loop thread; the timer is not set any more and may be set again.
  virtual void OnTimer() = 0;

 protected:
  ~Timer() = default;

 private:
  friend class TimerHeap;
  static constexpr uint32_t kNotSet = std::numeric_limits<uint32_t>::max();
  uint32_t slot_ = kNotSet;
};

// A binary heap of borrowed timers. Times are nanoseconds of the monotonic clock. One thread.
class TimerHeap {
 public:
  static constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

  // Sets or moves `timer`; kNever cancels.
  void Set(Timer& timer, int64_t due_ns);
  void Cancel(Timer& timer);

  int64_t next_due() const { return heap_.empty() ? kNever : heap_[0].due_ns; }
  // Takes out and runs each timer due at `now_ns`.
  void RunDue(int64_t now_ns);
  size_t size() const { return heap_.size(); }

 private:
  // The times lie side by side: to look for each in its timer would be a miss of the cache a step.
  struct Entry {
    int64_t due_ns;
    Timer* timer;
  };

  void Place(size_t slot, Entry entry);
  void Up(size_t slot);
  void Down(size_t slot);

  std::vector<Entry> heap_;
};

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_TIMER_HEAP_H_
