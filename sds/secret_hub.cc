#include "sds/secret_hub.h"

#include <utility>

#include "ca/base/check.h"

namespace meshca::sds {
namespace {

// Renewals of a client certificate that are followed back to find who its holder was before.
constexpr int kLineageMax = 64;
constexpr size_t kLineagesRemembered = 65'536;

}  // namespace

std::shared_ptr<const SecretSnapshot> BundleSecrets::Find(const ResolvedName& name) const {
  if (name.kind == SecretKind::kAllBundles) return all;
  if (name.name == root_ca->name()) return root_ca;
  if (name.name == domain->name()) return domain;
  return domain->content()->Named(name.name);  // the trust domain in capitals
}

SecretHub::SecretHub(Parts parts)
    : parts_(std::move(parts)),
      keys_(
          parts_.keys, *parts_.svids,
          [this](const rpc::Peer& peer, Authenticator::Done done) {
            absl::StatusOr<Credentials> credentials = PeerCredentials(peer);
            if (!credentials.ok()) return std::move(done)(credentials.status());
            parts_.authenticator->Authenticate(*std::move(credentials), Now(), std::move(done));
          },
          *parts_.clock, *parts_.entropy) {}

SecretHub::~SecretHub() { Shutdown(); }

void SecretHub::Start() {
  parts_.trust->AddListener([this](const std::shared_ptr<const Trust>& trust) { Publish(*trust); });
  if (const std::shared_ptr<const Trust> current = parts_.trust->Current(); current != nullptr) {
    Publish(*current);
  }
  keys_.OnTick([this] { registry().Tick(); });
  keys_.Start();
}

void SecretHub::Shutdown() { keys_.Shutdown(); }

void SecretHub::Publish(const Trust& trust) {
  auto bundles = std::make_shared<BundleSecrets>();
  bundles->version = trust.version;
  bundles->own = parts_.trust_domain;
  const SecretContent::Ptr own = SecretContent::OfBundle(trust.domains.front(), trust.version);
  bundles->root_ca = own->Named(kRootCaName);
  bundles->domain = own->Named(parts_.trust_domain.Id());
  bundles->all = SecretContent::OfAllBundles(trust)->Named(kAllName);

  std::vector<rpc::StreamHandle> handles;
  {
    MutexLock lock(mutex_);
    // Told twice, or an older value that was overtaken: whoever was told a version never hears of one before it.
    if (bundles_ != nullptr && bundles_->version >= bundles->version) return;
    bundles_ = bundles;
    handles = handles_;
  }
  const std::shared_ptr<const BundleSecrets> shared = std::move(bundles);
  rpc::StreamHandle::PostAll(
      handles, std::make_shared<const std::function<void(rpc::StreamHandler&)>>(
                   [shared](rpc::StreamHandler& handler) { static_cast<BundleWatcher&>(handler).OnBundles(shared); }));
}

std::shared_ptr<const BundleSecrets> SecretHub::Watch(BundleWatcher& watcher, const rpc::StreamHandle& handle) {
  MutexLock lock(mutex_);
  if (bundles_ != nullptr && watcher.watch_index_ == BundleWatcher::kNotWatching) {
    watcher.watch_index_ = watchers_.size();
    watchers_.push_back(&watcher);
    handles_.push_back(handle);
  }
  return bundles_;
}

void SecretHub::Unwatch(BundleWatcher& watcher) {
  MutexLock lock(mutex_);
  const size_t index = std::exchange(watcher.watch_index_, BundleWatcher::kNotWatching);
  if (index == BundleWatcher::kNotWatching) return;
  if (index + 1 != watchers_.size()) {
    watchers_[index] = watchers_.back();
    watchers_[index]->watch_index_ = index;
    handles_[index] = std::move(handles_.back());
  }
  watchers_.pop_back();
  handles_.pop_back();
}

std::shared_ptr<const BundleSecrets> SecretHub::Bundles() const {
  MutexLock lock(mutex_);
  return bundles_;
}

void SecretHub::Authenticate(std::shared_ptr<const rpc::Peer> peer, std::string node, CallerDone done) {
  absl::StatusOr<Credentials> credentials = PeerCredentials(*peer);
  if (!credentials.ok()) return std::move(done)(credentials.status());
  parts_.authenticator->Authenticate(
      *std::move(credentials), Now(),
      [this, peer = std::move(peer), node = std::move(node),
       done = std::move(done)](absl::StatusOr<CallerIdentity> identity) mutable {
        if (!identity.ok()) return std::move(done)(identity.status());
        auto caller = std::make_shared<SdsCaller>();
        caller->identity = *std::move(identity);
        caller->peer = std::move(peer);
        if (!caller->identity.presented.has_value() && caller->peer->transport == rpc::Transport::kUnix) {
          return std::move(done)(Shared(std::move(caller)));
        }
        keys_.Run([this, caller = std::move(caller), node = std::move(node), done = std::move(done)]() mutable {
          const absl::StatusOr<CertificateAncestry> own = AncestryOf(caller->identity);
          if (!own.ok()) return std::move(done)(own.status());
          caller->lineage = Lineage(*caller, *own, node);
          caller->line = own->line_serial.empty() ? caller->identity.parent_serial : own->line_serial;
          std::move(done)(Shared(std::move(caller)));
        });
      });
}

std::shared_ptr<const SdsCaller> SecretHub::Shared(std::shared_ptr<const SdsCaller> caller) {
  MutexLock lock(mutex_);
  std::weak_ptr<const SdsCaller>& recent = recent_callers_[caller->peer->connection_id % recent_callers_.size()];
  std::shared_ptr<const SdsCaller> known = recent.lock();
  if (known != nullptr && known->peer == caller->peer && known->lineage == caller->lineage &&
      known->line == caller->line && known->identity == caller->identity) {
    return known;
  }
  recent = caller;
  return caller;
}

// Before anything is served, the trust bundle included: whoever stole an authority's key would else learn who is here,
// count as a subscriber, and hold a rotation up.
absl::StatusOr<CertificateAncestry> SecretHub::AncestryOf(const CallerIdentity& caller) {
  if (!caller.presented.has_value()) {
    return absl::InternalError("SDS: an authenticator named a TLS peer and not its certificate");
  }
  return parts_.certificates->Judge(*caller.presented, caller.trusted_issuers);
}

std::string SecretHub::Lineage(const SdsCaller& caller, const CertificateAncestry& own_ancestry,
                               absl::string_view node) {
  const std::string& own = caller.identity.parent_serial;
  const std::string id = caller.DefaultId() == nullptr ? "" : caller.DefaultId()->uri();
  std::string serial = own;
  std::string parent = own_ancestry.parent_serial;
  for (int step = 0; step < kLineageMax && !serial.empty(); ++step) {
    std::string found;
    {
      MutexLock lock(mutex_);
      if (const auto known = lineages_.find(serial); known != lineages_.end()) found = known->second;
    }
    for (const Taking taking : {Taking::kStream, Taking::kFetch}) {
      if (found.empty() && registry().Knows(InstanceKey(*caller.peer, taking, serial, id, node))) found = serial;
    }
    if (!found.empty()) {
      if (step > 0) {
        MutexLock lock(mutex_);
        if (lineages_.size() >= kLineagesRemembered) lineages_.clear();
        lineages_[own] = found;
      }
      return found;
    }
    serial = std::move(parent);
    if (serial.empty()) break;
    absl::StatusOr<std::string> before = parts_.certificates->ParentOf(serial);
    if (!before.ok()) break;
    parent = *std::move(before);
  }
  return own;
}

SubscriberRecord SecretHub::InstanceOf(const SdsCaller& caller, Taking taking, absl::string_view node,
                                       const SpiffeId& asked) const {
  const std::string own = caller.DefaultId() == nullptr ? "" : caller.DefaultId()->uri();
  SubscriberRecord record;
  record.instance = InstanceKey(*caller.peer, taking, caller.lineage, own, node);
  record.spiffe_id = own.empty() ? asked.uri() : own;
  record.node = std::string(node);
  record.kind = std::string(SubscriberKind(*caller.peer, taking));
  record.peer = PeerText(caller);
  return record;
}

}  // namespace meshca::sds
