// The thread on which gRPC's operations of one channel end, and the calls that still wait for theirs.
#ifndef MESHCA_CA_RPC_CLIENT_COMPLETION_THREAD_H_
#define MESHCA_CA_RPC_CLIENT_COMPLETION_THREAD_H_

#include <grpcpp/completion_queue.h>

#include <memory>
#include <thread>
#include <unordered_map>

#include "absl/base/thread_annotations.h"
#include "ca/base/mutex.h"

namespace meshca::rpc {

// What gRPC gives back when an operation ends: the tag of each operation points at one of these.
class Completion {
 public:
  virtual ~Completion() = default;
  // On the thread. May destroy the completion, as the last thing it does.
  virtual void OnCompleted(bool ok) = 0;
};

// A call between its beginning and its last completion.
class LiveCall {
 public:
  virtual ~LiveCall() = default;
  // Any thread, at any time: all that is under way ends soon.
  virtual void Cancel() = 0;
};

class CompletionThread {
 public:
  CompletionThread();
  ~CompletionThread() { Shutdown(); }

  // Valid for a call's operations from Register until Deregister.
  grpc::CompletionQueue& queue() { return queue_; }

  // Keeps `call` until it deregisters. False after Shutdown: the call must not begin.
  bool Register(std::shared_ptr<LiveCall> call);
  // The call expects no completion any more. May destroy it.
  void Deregister(const LiveCall* call);

  // Cancels all calls, waits for their end, and ends the thread. Not on the thread itself.
  void Shutdown();

 private:
  void Run();

  grpc::CompletionQueue queue_;
  Mutex mutex_;
  CondVar none_left_;
  bool shut_down_ ABSL_GUARDED_BY(mutex_) = false;
  std::unordered_map<const LiveCall*, std::shared_ptr<LiveCall>> calls_ ABSL_GUARDED_BY(mutex_);
  Mutex joining_;  // one Shutdown ends the thread, and others wait for that
  std::thread thread_;
};

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_CLIENT_COMPLETION_THREAD_H_
