#include "ca/rpc/timer_heap.h"

namespace meshca::rpc {

void TimerHeap::Place(size_t slot, Timer* timer) {
  heap_[slot] = timer;
  timer->slot_ = static_cast<uint32_t>(slot);
}

void TimerHeap::Up(size_t slot) {
  Timer* timer = heap_[slot];
  while (slot > 0) {
    const size_t parent = (slot - 1) / 2;
    if (heap_[parent]->due_ns_ <= timer->due_ns_) break;
    Place(slot, heap_[parent]);
    slot = parent;
  }
  Place(slot, timer);
}

void TimerHeap::Down(size_t slot) {
  Timer* timer = heap_[slot];
  for (;;) {
    size_t child = 2 * slot + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && heap_[child + 1]->due_ns_ < heap_[child]->due_ns_) ++child;
    if (timer->due_ns_ <= heap_[child]->due_ns_) break;
    Place(slot, heap_[child]);
    slot = child;
  }
  Place(slot, timer);
}

void TimerHeap::Set(Timer& timer, int64_t due_ns) {
  if (due_ns == kNever) return Cancel(timer);
  if (timer.slot_ == Timer::kNotSet) {
    timer.slot_ = static_cast<uint32_t>(heap_.size());
    heap_.push_back(&timer);
  }
  timer.due_ns_ = due_ns;
  Up(timer.slot_);
  Down(timer.slot_);
}

void TimerHeap::Cancel(Timer& timer) {
  if (timer.slot_ == Timer::kNotSet) return;
  const size_t slot = timer.slot_;
  Timer* last = heap_.back();
  heap_.pop_back();
  timer.slot_ = Timer::kNotSet;
  if (last == &timer) return;
  Place(slot, last);
  Up(slot);
  Down(last->slot_);
}

void TimerHeap::RunDue(int64_t now_ns) {
  while (!heap_.empty() && heap_[0]->due_ns_ <= now_ns) {
    Timer* timer = heap_[0];
    Cancel(*timer);
    timer->OnTimer();
  }
}

}  // namespace meshca::rpc
