#include "sds/secret_fetch.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "ca/base/mutex.h"
#include "ca/base/status.h"
#include "ca/edge/edge_status.h"
#include "ca/subscribers/subscriber_registry.h"
#include "sds/discovery_request.h"
#include "sds/discovery_response.h"

namespace meshca::sds {
namespace {

Delivery DeliveryOf(const std::vector<const SecretSnapshot*>& resources) {
  Delivery delivery;
  for (const SecretSnapshot* resource : resources) {
    const SecretContent& content = *resource->content();
    if (content.kind() == SecretKind::kIdentity) {
      const SecretContent::Identity& identity = content.identity();
      delivery.keys.push_back({identity.id.uri(), identity.generation, identity.serial, identity.authority_id,
                               resource->version(), identity.not_after});
      continue;
    }
    // Of several bundles, the older counts.
    const TrustVersion version = content.trust_version();
    delivery.trust_version = std::min(delivery.trust_version.value_or(version), version);
    delivery.version_info = resource->version();
  }
  return delivery;
}

// One call under way. Keys arrive on the ring's thread; whoever brings the last one answers.
class Fetch : public std::enable_shared_from_this<Fetch> {
 public:
  Fetch(SecretHub& hub, std::shared_ptr<rpc::Call> call) : hub_(hub), call_(std::move(call)) {}

  void Refuse(const absl::Status& why) { Arrived(why); }

  // The client reset the call: what was asked for is let go at once, not when the last key has come.
  void Cancel() { Arrived(absl::CancelledError("the client reset the call")); }

  void Begin(std::shared_ptr<const SdsCaller> caller, const DiscoveryAsk& ask) {
    {
      MutexLock lock(mutex_);
      if (answered_) return;
    }
    std::vector<std::pair<size_t, ResolvedName>> identities;
    absl::Status denied;
    std::vector<std::shared_ptr<const SecretSnapshot>> secrets;
    for (const std::string& text : ask.names) {
      absl::StatusOr<ResolvedName> name = ResolveName(text, *caller, hub_.trust_domain(), hub_.entry_advice());
      if (!name.ok()) {
        if (denied.ok()) denied = name.status();
        continue;
      }
      if (name->kind == SecretKind::kIdentity) {
        identities.emplace_back(secrets.size(), *std::move(name));
        secrets.emplace_back();
        continue;
      }
      const std::shared_ptr<const BundleSecrets> bundles = hub_.bundles().Current();
      if (bundles == nullptr) return Refuse(absl::UnavailableError("SDS: the CA is starting"));
      secrets.push_back(bundles->Find(*name));
    }
    if (secrets.empty()) return Refuse(denied);
    const SpiffeId asked = identities.empty() ? SpiffeId() : identities.front().second.id;
    absl::StatusOr<SubscriberRegistry::Fetching> fetching =
        hub_.registry().BeginFetch(hub_.callers().InstanceOf(*caller, Taking::kFetch, ask.node_id, asked));
    if (!fetching.ok()) return Refuse(fetching.status());
    {
      MutexLock lock(mutex_);
      fetching_ = *std::move(fetching);
      secrets_ = std::move(secrets);
      missing_ = identities.size() + 1;  // one for this function, so that nothing is answered before it ends
    }
    for (auto& [place, name] : identities) Hold(caller, ask.node_id, place, name);
    Arrived(absl::OkStatus());
  }

 private:
  void Hold(const std::shared_ptr<const SdsCaller>& caller, const std::string& node, size_t place,
            const ResolvedName& name) {
    SecretContent::Ptr current;
    KeyRing::Lease lease = hub_.keys().Hold(
        {hub_.callers().InstanceOf(*caller, Taking::kFetch, node, name.id).instance, node, caller}, name.id,
        [self = shared_from_this(), place = place,
         text = name.name](const absl::StatusOr<SecretContent::Ptr>& content) { self->Put(place, text, content); },
        &current);
    {
      MutexLock lock(mutex_);
      if (!answered_) leases_.push_back(std::move(lease));
    }
    if (current != nullptr) Put(place, name.name, current);
  }

  void Put(size_t place, const std::string& name, const absl::StatusOr<SecretContent::Ptr>& content) {
    if (!content.ok()) return Arrived(content.status());
    {
      MutexLock lock(mutex_);
      if (answered_ || secrets_[place] != nullptr) return;  // a renewal overtook us
      secrets_[place] = (*content)->Named(name);
    }
    Arrived(absl::OkStatus());
  }

  void Arrived(const absl::Status& status) {
    std::vector<KeyRing::Lease> leases;  // released without the lock: their listeners hold this object
    std::vector<std::shared_ptr<const SecretSnapshot>> secrets;
    SubscriberRegistry::Fetching fetching;
    {
      MutexLock lock(mutex_);
      if (answered_ || (status.ok() && --missing_ > 0)) return;
      answered_ = true;
      leases = std::move(leases_);
      secrets = std::move(secrets_);
      fetching = std::move(fetching_);
    }
    if (!status.ok()) return call_->Finish(absl::IsCancelled(status) ? status : SdsEdgeStatus(status));
    std::vector<const SecretSnapshot*> resources;
    resources.reserve(secrets.size());
    for (const auto& secret : secrets) resources.push_back(secret.get());
    // Before the answer leaves: whoever holds something of us is known.
    fetching.Delivered(DeliveryOf(resources));
    call_->Finish(resources.size() == 1 ? resources.front()->Alone(Protocol::kStateOfTheWorld).payload
                                        : MakeResponse(Protocol::kStateOfTheWorld, resources).payload);
  }

  SecretHub& hub_;
  const std::shared_ptr<rpc::Call> call_;

  Mutex mutex_;
  std::vector<std::shared_ptr<const SecretSnapshot>> secrets_ ABSL_GUARDED_BY(mutex_);
  std::vector<KeyRing::Lease> leases_ ABSL_GUARDED_BY(mutex_);
  SubscriberRegistry::Fetching fetching_ ABSL_GUARDED_BY(mutex_);
  size_t missing_ ABSL_GUARDED_BY(mutex_) = 0;
  bool answered_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace

void FetchSecrets(SecretHub& hub, std::shared_ptr<rpc::Call> call) {
  absl::StatusOr<DiscoveryAsk> ask = ReadStateRequest(call->request());
  if (!ask.ok()) return call->Finish(ask.status());
  if (ask->names.empty()) {
    return call->Finish(WithReason(absl::InvalidArgumentError("SDS request: resource_names is empty; name the secrets "
                                                              "wanted, such as default or ROOTCA"),
                                   "NO_NAMES"));
  }
  const std::shared_ptr<const rpc::Peer> peer = call->peer();
  std::string node = ask->node_id;
  auto fetch = std::make_shared<Fetch>(hub, call);
  call->OnCancel([weak = std::weak_ptr<Fetch>(fetch)] {
    if (const std::shared_ptr<Fetch> waiting = weak.lock()) waiting->Cancel();
  });
  hub.callers().Authenticate(peer, std::move(node),
                             [fetch = std::move(fetch), &hub,
                              ask = *std::move(ask)](absl::StatusOr<std::shared_ptr<const SdsCaller>> caller) mutable {
                               if (!caller.ok())
                                 return fetch->Refuse(NameFirstId(caller.status(), ask.names, hub.trust_domain()));
                               fetch->Begin(*std::move(caller), ask);
                             });
}

}  // namespace meshca::sds
