#include "ca/edge/worker_pool.h"

#include <optional>
#include <utility>

namespace meshca {

WorkerPool::WorkerPool(size_t threads, size_t queue_max) : queue_({queue_max}) {
  for (size_t i = 0; i < threads; ++i) {
    threads_.emplace_back([this] {
      while (std::optional<Work> work = queue_.Pop()) std::move (*work)();
    });
  }
}

WorkerPool::~WorkerPool() {
  queue_.Close();
  for (std::thread& thread : threads_) thread.join();
}

bool WorkerPool::Submit(Work work) { return queue_.TryPush(work); }

}  // namespace meshca
