#include "ca/rpc/client/completion_thread.h"

#include <utility>
#include <vector>

#include "ca/base/check.h"

namespace meshca::rpc {

CompletionThread::CompletionThread() : thread_([this] { Run(); }) {}

bool CompletionThread::Register(std::shared_ptr<LiveCall> call) {
  MutexLock lock(mutex_);
  if (shut_down_) return false;
  const LiveCall* const key = call.get();
  calls_.emplace(key, std::move(call));
  return true;
}

void CompletionThread::Deregister(const LiveCall* call) {
  std::shared_ptr<LiveCall> last;  // Goes away without the lock: a call's end may run code of its caller's.
  MutexLock lock(mutex_);
  const auto found = calls_.find(call);
  MESHCA_CHECK(found != calls_.end());
  last = std::move(found->second);
  calls_.erase(found);
  if (calls_.empty()) none_left_.NotifyAll();
}

void CompletionThread::Shutdown() {
  MESHCA_CHECK(std::this_thread::get_id() != thread_.get_id());
  std::vector<std::shared_ptr<LiveCall>> open;
  {
    MutexLock lock(mutex_);
    shut_down_ = true;
    for (const auto& [key, call] : calls_) open.push_back(call);
  }
  // A call that was registered and has not begun yet is cancelled too: gRPC and StreamCall remember it.
  for (const auto& call : open) call->Cancel();
  open.clear();
  {
    MutexLock lock(mutex_);
    while (!calls_.empty()) none_left_.Wait(mutex_);
  }
  MutexLock joining(joining_);
  if (!thread_.joinable()) return;
  queue_.Shutdown();
  thread_.join();
}

void CompletionThread::Run() {
  void* tag = nullptr;
  bool ok = false;
  while (queue_.Next(&tag, &ok)) static_cast<Completion*>(tag)->OnCompleted(ok);
}

}  // namespace meshca::rpc
