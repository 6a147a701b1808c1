#include "ca/rpc/timer_heap.h"

namespace meshca::rpc {

void TimerHeap::Place(size_t slot, const Entry& entry) {
  heap_[slot] = entry;
  slots_[entry.place] = static_cast<uint32_t>(slot);
}

void TimerHeap::Up(size_t slot) {
  const Entry entry = heap_[slot];
  while (slot > 0) {
    const size_t parent = (slot - 1) / 2;
    if (heap_[parent].due_ns <= entry.due_ns) break;
    Place(slot, heap_[parent]);
    slot = parent;
  }
  Place(slot, entry);
}

void TimerHeap::Down(size_t slot) {
  const Entry entry = heap_[slot];
  for (;;) {
    size_t child = 2 * slot + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && heap_[child + 1].due_ns < heap_[child].due_ns) ++child;
    if (entry.due_ns <= heap_[child].due_ns) break;
    Place(slot, heap_[child]);
    slot = child;
  }
  Place(slot, entry);
}

void TimerHeap::Set(Timer& timer, int64_t due_ns) {
  if (due_ns == kNever) return Cancel(timer);
  if (timer.place_ == Timer::kNotSet) {
    if (free_.empty()) {
      free_.push_back(static_cast<uint32_t>(slots_.size()));
      slots_.push_back(0);
    }
    timer.place_ = free_.back();
    free_.pop_back();
    slots_[timer.place_] = static_cast<uint32_t>(heap_.size());
    heap_.push_back({due_ns, &timer, timer.place_});
  }
  const size_t slot = slots_[timer.place_];
  heap_[slot].due_ns = due_ns;
  Up(slot);
  Down(slots_[timer.place_]);
}

void TimerHeap::Cancel(Timer& timer) {
  if (timer.place_ == Timer::kNotSet) return;
  const size_t slot = slots_[timer.place_];
  free_.push_back(timer.place_);
  timer.place_ = Timer::kNotSet;
  const Entry last = heap_.back();
  heap_.pop_back();
  if (last.timer == &timer) return;
  Place(slot, last);
  Up(slot);
  Down(slots_[last.place]);
}

void TimerHeap::RunDue(int64_t now_ns) {
  while (!heap_.empty() && heap_[0].due_ns <= now_ns) {
    Timer* timer = heap_[0].timer;
    Cancel(*timer);
    timer->OnTimer();
  }
}

}  // namespace meshca::rpc
