// The threads on which calls of agents wait for the database.
#ifndef MESHCA_CA_SERVICE_AGENT_WORKERS_H_
#define MESHCA_CA_SERVICE_AGENT_WORKERS_H_

#include <cstddef>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "ca/authn/fair_pool.h"
#include "ca/base/mutex.h"

namespace meshca {

// A few threads that nodes take in turns (FairPool), so that one node's thousand requests delay another node's single
// one by a few. Thread-safe.
class AgentWorkers {
 public:
  // As many of one node may wait or run; an agent mints and attaches with far fewer at once.
  static constexpr size_t kPerNodeMax = 256;

  AgentWorkers();
  // As Close.
  ~AgentWorkers() { Close(); }

  // Ok: `work` runs once, on one of the threads. ResourceExhausted (NODE_SHARE_USED: the node has kPerNodeMax; BUSY:
  // all nodes together have too many), Unavailable (closed): it does not run.
  absl::Status Submit(absl::string_view node, FairPool::Work work);

  // Nothing more gets in; returns when what got in has run. Idempotent, by one thread.
  void Close();

 private:
  Mutex mutex_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  FairPool pool_;
};

}  // namespace meshca

#endif  // MESHCA_CA_SERVICE_AGENT_WORKERS_H_
