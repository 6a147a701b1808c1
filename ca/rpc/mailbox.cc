#include "ca/rpc/mailbox.h"

#include <unistd.h>

#include <cstdint>
#include <utility>

namespace meshca::rpc {

thread_local const Mailbox* Mailbox::current_ = nullptr;

void Mailbox::Post(Task task) {
  bool wake = false;
  {
    MutexLock lock(mutex_);
    if (closed_) return;
    wake = tasks_.empty();  // Otherwise whoever put the first one in has woken the loop.
    tasks_.push_back(std::move(task));
  }
  if (!wake) return;
  const uint64_t one = 1;
  // Fails only when the counter is full, and then the loop is awake anyway.
  [[maybe_unused]] ssize_t written = ::write(event_.get(), &one, sizeof one);
}

void Mailbox::Take(std::vector<Task>& tasks) {
  MutexLock lock(mutex_);
  tasks_.swap(tasks);
}

void Mailbox::Close() {
  std::vector<Task> dropped;  // Outlives the lock: what its tasks captured may post when destroyed.
  {
    MutexLock lock(mutex_);
    closed_ = true;
    tasks_.swap(dropped);
  }
}

}  // namespace meshca::rpc
