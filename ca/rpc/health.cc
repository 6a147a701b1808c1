#include "ca/rpc/health.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "ca/base/mutex.h"
#include "ca/rpc/protobuf_payload.h"
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

class Health final : public HealthService {
 public:
  Health() { services_[""].status = HealthCheckResponse::SERVING; }

  void AddTo(Router& router) override {
    router.AddUnary("/grpc.health.v1.Health/Check", [this](std::shared_ptr<Call> call) { Check(*call); });
    router.AddStream("/grpc.health.v1.Health/Watch",
                     [this](Stream& stream) { return std::make_unique<Watcher>(*this, stream); });
  }

  void Set(absl::string_view service, bool serving) override {
    std::vector<StreamHandle> watchers;
    {
      MutexLock lock(mutex_);
      if (retired_) return;
      Service& state = services_[service];
      const auto status = serving ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING;
      if (state.status == status) return;
      state.status = status;
      watchers = state.watchers;
    }
    Tell(watchers);
  }

  void Retire() override {
    std::vector<StreamHandle> watchers;
    {
      MutexLock lock(mutex_);
      retired_ = true;
      for (auto& [name, state] : services_) {
        if (state.status == HealthCheckResponse::SERVING) state.status = HealthCheckResponse::NOT_SERVING;
        watchers.insert(watchers.end(), state.watchers.begin(), state.watchers.end());
      }
    }
    Tell(watchers);
  }

 private:
  struct Service {
    HealthCheckResponse::ServingStatus status = HealthCheckResponse::SERVICE_UNKNOWN;
    std::vector<StreamHandle> watchers;
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
      watching_ = true;
      service_ = request.service();
      health_.Join(service_, stream_.handle());
      Update();
    }
    void OnHalfClose() override {
      if (!watching_) stream_.Finish(absl::InvalidArgumentError("Watch needs a request"));
    }
    void OnWritable() override { Update(); }
    void OnClose(const absl::Status& status) override {
      if (watching_) health_.Leave(service_, stream_.handle());
    }

    void Update() {
      const auto now = health_.StatusOf(service_);
      if (now == sent_) return;
      if (stream_.Send(StatusPayload(now))) sent_ = now;
    }

   private:
    Health& health_;
    Stream& stream_;
    std::string service_;
    bool watching_ = false;
    HealthCheckResponse::ServingStatus sent_ = HealthCheckResponse::UNKNOWN;
  };

  static void Tell(const std::vector<StreamHandle>& watchers) {
    StreamHandle::PostAll(watchers, std::make_shared<const std::function<void(StreamHandler&)>>(
                                        [](StreamHandler& handler) { static_cast<Watcher&>(handler).Update(); }));
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
    return found == services_.end() ? HealthCheckResponse::SERVICE_UNKNOWN : found->second.status;
  }

  void Join(absl::string_view service, StreamHandle watcher) {
    MutexLock lock(mutex_);
    services_[service].watchers.push_back(std::move(watcher));
  }

  void Leave(absl::string_view service, const StreamHandle& watcher) {
    MutexLock lock(mutex_);
    auto found = services_.find(service);
    if (found == services_.end()) return;
    std::erase(found->second.watchers, watcher);
    // Names come from clients: one that was only watched is forgotten with its last watcher.
    if (found->second.watchers.empty() && found->second.status == HealthCheckResponse::SERVICE_UNKNOWN) {
      services_.erase(found);
    }
  }

  Mutex mutex_;
  absl::flat_hash_map<std::string, Service> services_ ABSL_GUARDED_BY(mutex_);
  bool retired_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace

std::unique_ptr<HealthService> HealthService::Create() { return std::make_unique<Health>(); }

}  // namespace meshca::rpc
