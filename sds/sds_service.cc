#include "sds/sds_service.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "sds/delta_secret_stream.h"
#include "sds/discovery_response.h"
#include "sds/process_of_row.h"
#include "sds/secret_fetch.h"
#include "sds/secret_hub.h"
#include "sds/secret_stream.h"
#include "sds/workload_service.h"

namespace meshca::sds {
namespace {

// Envoy's first request holds 61 KB of node metadata; a proxy that does not read gets the newest when it does, so two
// waiting responses are plenty.
constexpr rpc::StreamOptions kStreamOptions{
    .message_bytes_max = 256 * 1024, .queue_messages_max = 2, .queue_bytes_max = 256 * 1024};
constexpr rpc::UnaryOptions kFetchOptions{.request_bytes_max = 256 * 1024};

}  // namespace

class SdsService::Impl {
 public:
  explicit Impl(Parts parts)
      : registry(*parts.subscribers, *parts.clock, parts.leaf_lifetime, parts.room, parts.delivered_after,
                 parts.processes == nullptr ? &kernel : parts.processes),
        hub({std::move(parts.trust_domain),
             parts.trust,
             parts.authenticator,
             parts.certificates,
             parts.svids,
             {parts.revocations,
              [this](const std::string& instance, absl::Time until) { registry.CertificatesEnd(instance, until); }},
             &registry,
             parts.clock,
             parts.entropy,
             parts.keys,
             parts.entry_advice}),
        workload(hub, parts.jwt) {}

  SystemProcessWatch kernel;
  SubscriberRegistry registry;
  SecretHub hub;
  WorkloadService workload;
};

SdsService::SdsService(Parts parts) : impl_(std::make_unique<Impl>(std::move(parts))) {}
SdsService::~SdsService() { Shutdown(); }

absl::Status SdsService::Start() {
  MESHCA_RETURN_IF_ERROR(impl_->registry.Load(ProcessOfRow));
  impl_->hub.Start();
  return absl::OkStatus();
}

void SdsService::Shutdown() {
  impl_->workload.Shutdown();
  impl_->hub.Shutdown();
  impl_->registry.Shutdown();
}

void SdsService::AddTo(rpc::Router& router) {
  SecretHub* const hub = &impl_->hub;
  router.AddStream(
      absl::StrCat("/", kSdsServiceName, "/StreamSecrets"),
      [hub](rpc::Stream& stream) { return std::make_unique<SecretStream>(stream, *hub); }, kStreamOptions);
  router.AddStream(
      absl::StrCat("/", kSdsServiceName, "/DeltaSecrets"),
      [hub](rpc::Stream& stream) { return std::make_unique<DeltaSecretStream>(stream, *hub); }, kStreamOptions);
  router.AddUnary(
      absl::StrCat("/", kSdsServiceName, "/FetchSecrets"),
      [hub](std::shared_ptr<rpc::Call> call) { FetchSecrets(*hub, std::move(call)); }, kFetchOptions);
}

void SdsService::AddWorkloadApiTo(rpc::Router& router) { impl_->workload.AddTo(router); }

std::vector<SpiffeId> SdsService::Renew(absl::FunctionRef<bool(const SpiffeId& id, absl::string_view serial)> chosen) {
  return impl_->hub.keys().Renew(chosen);
}

KeyRing& SdsService::keys() { return impl_->hub.keys(); }

void SdsService::EntriesChanged() {
  impl_->hub.keys().Recheck();
  impl_->hub.bundles().TellEntriesChanged();
}

uint64_t SdsService::DropRevoked() { return impl_->hub.keys().DropRevoked(); }

absl::StatusOr<SubscriberRegistry::Evicted> SdsService::Evict(absl::FunctionRef<bool(const SubscriberRecord&)> chosen) {
  return impl_->registry.Evict(chosen);
}

void SdsService::SetDeliveredAfter(absl::Duration delivered_after) {
  impl_->registry.SetDeliveredAfter(delivered_after);
}

const SubscriberRegistry& SdsService::subscribers() const { return impl_->registry; }

SdsStats SdsService::Stats() const {
  return {impl_->registry.Stats(), impl_->hub.keys().Stats(),
          ResponsesSerialised() + impl_->workload.responses_serialised()};
}

void SdsService::Wake() { impl_->hub.executor().Wake(); }

}  // namespace meshca::sds
