#include "ca/kubernetes/open_calls.h"

#include <utility>
#include <vector>

namespace meshca::kubernetes {

void OpenCalls::Send(const ApiCall& call, Answered done) {
  uint64_t number = 0;
  {
    MutexLock lock(mutex_);
    if (cancelled_) return;
    number = ++made_;
    calls_.emplace(number, std::nullopt);
  }
  const ApiServer::CallId id =
      server_.Send(call, answer_bytes_max_, timeout_,
                   [this, number, done = std::move(done)](absl::StatusOr<std::string> answer) mutable {
                     std::move(done)(std::move(answer));
                     MutexLock lock(mutex_);
                     calls_.erase(number);
                     ended_.NotifyAll();
                   });
  bool ends = false;
  {
    MutexLock lock(mutex_);
    const auto under_way = calls_.find(number);
    if (under_way == calls_.end()) return;  // it has ended by now
    under_way->second = id;
    ends = cancelled_;
  }
  if (ends) server_.Cancel(id);
}

void OpenCalls::Cancel() {
  std::vector<ApiServer::CallId> under_way;
  {
    MutexLock lock(mutex_);
    cancelled_ = true;
    for (const auto& [number, call] : calls_) {
      if (call.has_value()) under_way.push_back(*call);
    }
  }
  for (const ApiServer::CallId call : under_way) server_.Cancel(call);
}

void OpenCalls::AwaitEnd() {
  Cancel();
  MutexLock lock(mutex_);
  while (!calls_.empty()) ended_.Wait(mutex_);
}

}  // namespace meshca::kubernetes
