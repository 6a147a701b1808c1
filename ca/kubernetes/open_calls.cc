#include "ca/kubernetes/open_calls.h"

#include <memory>
#include <utility>
#include <vector>

namespace meshca::kubernetes {

void OpenCalls::Make(absl::FunctionRef<ApiServer::CallId(uint64_t number)> send) {
  uint64_t number = 0;
  {
    MutexLock lock(mutex_);
    if (cancelled_) return;
    number = ++made_;
    calls_.emplace(number, std::nullopt);
  }
  const ApiServer::CallId id = send(number);
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

void OpenCalls::Ended(uint64_t number) {
  MutexLock lock(mutex_);
  calls_.erase(number);
  ended_.NotifyAll();
}

void OpenCalls::Send(const ApiCall& call, size_t bytes_max, Answered done) {
  Make([&](uint64_t number) {
    return server_.Send(call, bytes_max, timeout_,
                        [this, number, done = std::move(done)](absl::StatusOr<std::string> answer) mutable {
                          std::move(done)(std::move(answer));
                          Ended(number);
                        });
  });
}

void OpenCalls::SendAndPick(const ApiCall& call, const std::vector<std::string>& paths, Picked done) {
  Make([&](uint64_t number) {
    auto picker = std::make_shared<ObjectPicker>(paths);
    http::CallOptions options;
    options.timeout = timeout_;
    ApiServer::Streamed streamed;
    streamed.on_piece = [picker](absl::string_view piece) { return picker->Take(piece); };
    streamed.on_end = [this, number, picker, done = std::move(done)](const absl::Status& end) mutable {
      std::move(done)(end.ok() ? picker->End() : end);
      Ended(number);
    };
    return server_.Stream(call, options, std::move(streamed));
  });
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
