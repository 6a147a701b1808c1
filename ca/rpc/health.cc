#include "ca/rpc/health.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "ca/base/mutex.h"
#include "ca/rpc/protobuf_payload.h"
#include "ca/rpc/typed_stream_handle.h"
#include "grpc/health/v1/health.pb.h"

namespace meshca::rpc {
namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

Payload StatusPayload(HealthCheckResponse::ServingStatus status) {
  HealthCheckResponse response;
  response.set_status(status);
  return Frame(response);
}

// Names come from strangers: longer than any protobuf service's, a message is refused before it is kept.
constexpr size_t kRequestBytesMax = 512;

class Health final : public HealthService {
 public:
  Health() { services_[""] = std::make_unique<Service>(Service{HealthCheckResponse::SERVING, {}}); }

  void AddTo(Router& router) override {
    router.AddUnary("/grpc.health.v1.Health/Check", [this](std::shared_ptr<Call> call) { Check(*call); },
                    {.request_bytes_max = kRequestBytesMax});
    router.AddStream("/grpc.health.v1.Health/Watch",
                     [this](Stream& stream) { return std::make_unique<Watcher>(*this, stream); },
                     {.message_bytes_max = kRequestBytesMax});
  }

  void Set(absl::string_view service, bool serving) override {
    std::vector<TypedStreamHandle<Watcher>> watchers;
    {
      MutexLock lock(mutex_);
      if (retired_) return;
      std::unique_ptr<Service>& state = services_[service];
      if (state == nullptr) {
        state = std::make_unique<Service>();
        Claim(service, state->watchers);
      }
      const auto status = serving ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING;
      if (state->status == status) return;
      state->status = status;
      watchers = state->watchers.handles;
    }
    Tell(std::move(watchers));
  }

  void Retire() override {
    std::vector<TypedStreamHandle<Watcher>> watchers;
    {
      MutexLock lock(mutex_);
      retired_ = true;
      for (auto& [name, state] : services_) {
        state->status = HealthCheckResponse::NOT_SERVING;
        watchers.insert(watchers.end(), state->watchers.handles.begin(), state->watchers.handles.end());
      }
    }
    Tell(std::move(watchers));
  }

 private:
  class Watcher;

  // Who leaves makes way by its index: a linear search under the mutex would let many streams slow down each other.
  struct WatcherList {
    std::vector<Watcher*> watchers;
    std::vector<TypedStreamHandle<Watcher>> handles;  // beside watchers
  };

  struct Service {
    HealthCheckResponse::ServingStatus status = HealthCheckResponse::SERVICE_UNKNOWN;
    WatcherList watchers;
  };

  // One Watch: sends the state when it differs from what the client has.
  class Watcher final : public StreamHandler {
   public:
    Watcher(Health& health, Stream& stream) : health_(health), stream_(stream) {}

    void OnMessage(absl::string_view message) override {
      HealthCheckRequest request;
      absl::Status parsed = ParseMessage(message, request);
      if (parsed.ok() && watching_) parsed = absl::InvalidArgumentError("Watch takes one request");
      if (!parsed.ok()) return stream_.Finish(parsed);
      if (const absl::Status held = stream_.HoldBytes(request.service().size()); !held.ok()) {
        return stream_.Finish(held);
      }
      watching_ = true;
      service_ = request.service();
      health_.Join(*this, {stream_, *this});
      Update();
    }
    void OnHalfClose() override {
      if (!watching_) stream_.Finish(absl::InvalidArgumentError("Watch needs a request"));
    }
    void OnWritable() override { Update(); }
    void OnClose(const absl::Status& status) override {
      if (watching_) health_.Leave(*this);
    }

    void Update() {
      const auto now = health_.StatusOf(service_);
      if (now == sent_) return;
      if (stream_.Send(StatusPayload(now))) sent_ = now;
    }

   private:
    friend class Health;

    Health& health_;
    Stream& stream_;
    std::string service_;  // not written any more once watching_
    bool watching_ = false;
    HealthCheckResponse::ServingStatus sent_ = HealthCheckResponse::UNKNOWN;
    // Guarded by the service's mutex: the list this watcher is in, and where.
    WatcherList* list_ = nullptr;
    size_t index_ = 0;
  };

  static void Tell(std::vector<TypedStreamHandle<Watcher>> watchers) {
    TypedStreamHandle<Watcher>::PostAll(std::move(watchers), [](Watcher& watcher) { watcher.Update(); });
  }

  void Check(Call& call) {
    HealthCheckRequest request;
    absl::Status parsed = ParseMessage(call.request(), request);
    if (!parsed.ok()) return call.Finish(parsed);
    const auto status = StatusOf(request.service());
    if (status == HealthCheckResponse::SERVICE_UNKNOWN) {
      return call.Finish(absl::NotFoundError(absl::StrCat("no service \"", request.service(), "\"")));
    }
    call.Finish(StatusPayload(status));
  }

  HealthCheckResponse::ServingStatus StatusOf(absl::string_view service) {
    MutexLock lock(mutex_);
    auto found = services_.find(service);
    return found == services_.end() ? HealthCheckResponse::SERVICE_UNKNOWN : found->second->status;
  }

  static void Append(Watcher& watcher, TypedStreamHandle<Watcher> handle, WatcherList& list) {
    watcher.list_ = &list;
    watcher.index_ = list.watchers.size();
    list.watchers.push_back(&watcher);
    list.handles.push_back(std::move(handle));
  }

  // The last of the list takes the place; returns the handle of who left.
  static TypedStreamHandle<Watcher> Remove(Watcher& watcher) {
    WatcherList& list = *watcher.list_;
    const size_t index = watcher.index_;
    std::swap(list.watchers[index], list.watchers.back());
    std::swap(list.handles[index], list.handles.back());
    list.watchers[index]->index_ = index;
    TypedStreamHandle<Watcher> handle = std::move(list.handles.back());
    list.watchers.pop_back();
    list.handles.pop_back();
    return handle;
  }

  void Join(Watcher& watcher, TypedStreamHandle<Watcher> handle) {
    MutexLock lock(mutex_);
    auto found = services_.find(watcher.service_);
    Append(watcher, std::move(handle), found == services_.end() ? unknown_ : found->second->watchers);
  }

  void Leave(Watcher& watcher) {
    MutexLock lock(mutex_);
    Remove(watcher);
  }

  // Those who wait for a name that is set for the first time.
  void Claim(absl::string_view service, WatcherList& list) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    for (size_t i = 0; i < unknown_.watchers.size();) {
      Watcher& watcher = *unknown_.watchers[i];
      if (watcher.service_ == service) {
        Append(watcher, Remove(watcher), list);  // Another one is at `i` now.
      } else {
        ++i;
      }
    }
  }

  Mutex mutex_;
  // Those that were Set: what a client names adds none.
  absl::flat_hash_map<std::string, std::unique_ptr<Service>> services_ ABSL_GUARDED_BY(mutex_);
  WatcherList unknown_ ABSL_GUARDED_BY(mutex_);
  bool retired_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace

std::unique_ptr<HealthService> HealthService::Create() { return std::make_unique<Health>(); }

}  // namespace meshca::rpc
