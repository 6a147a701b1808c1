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
  uint32_t place_ = kNotSet;  // in TimerHeap::slots_
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
  // What the heap moves lies side by side. A timer lies in its connection, which nobody may have touched for a while:
  // to read its time there, or to write down where it is, would be a miss of the cache for each step.
  struct Entry {
    int64_t due_ns;
    Timer* timer;
    uint32_t place;
  };

  void Place(size_t slot, const Entry& entry);
  void Up(size_t slot);
  void Down(size_t slot);

  std::vector<Entry> heap_;
  std::vector<uint32_t> slots_;  // by Timer::place_: where in heap_
  std::vector<uint32_t> free_;   // places that no timer has
};

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_TIMER_HEAP_H_
