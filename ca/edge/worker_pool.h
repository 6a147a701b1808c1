// A few threads for work that blocks: database reads and writes on behalf of an operator.
#ifndef MESHCA_CA_EDGE_WORKER_POOL_H_
#define MESHCA_CA_EDGE_WORKER_POOL_H_

#include <cstddef>
#include <thread>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "ca/base/bounded_queue.h"

namespace meshca {

// Thread-safe. Work starts in the order submitted.
class WorkerPool {
 public:
  using Work = absl::AnyInvocable<void() &&>;

  WorkerPool(size_t threads, size_t queue_max);
  // Runs what was queued and joins.
  ~WorkerPool();

  // False when the queue is full or the pool closed; `work` is then dropped unrun.
  bool Submit(Work work);

  // Nothing more gets in; what was queued still runs. Idempotent.
  void Close() { queue_.Close(); }

 private:
  BoundedQueue<Work> queue_;
  std::vector<std::thread> threads_;
};

}  // namespace meshca

#endif  // MESHCA_CA_EDGE_WORKER_POOL_H_
