#include "sds/bundle_publisher.h"

namespace meshca::sds {

BundleSecrets::BundleSecrets(const Trust& trust) : version(trust.version), workload(trust) {
  const DomainTrust& own = trust.domains.front();
  const SecretContent::Ptr bundle = SecretContent::OfBundle(own, trust.version);
  root_ca = bundle->Named(kRootCaName);
  domain = bundle->Named(own.trust_domain.Id());
  all = SecretContent::OfAllBundles(trust)->Named(kAllName);
}

std::shared_ptr<const SecretSnapshot> BundleSecrets::Find(const ResolvedName& name) const {
  if (name.kind == SecretKind::kAllBundles) return all;
  if (name.name == root_ca->name()) return root_ca;
  if (name.name == domain->name()) return domain;
  return domain->content()->Named(name.name);  // the trust domain in capitals
}

void BundlePublisher::Start() {
  trust_.AddListener([this](const std::shared_ptr<const Trust>& trust) { Publish(*trust); });
  if (const std::shared_ptr<const Trust> current = trust_.Current(); current != nullptr) Publish(*current);
}

void BundlePublisher::Publish(const Trust& trust) {
  const auto bundles = std::make_shared<const BundleSecrets>(trust);
  std::vector<rpc::TypedStreamHandle<BundleWatcher>> watchers;
  {
    MutexLock lock(mutex_);
    // Told twice, or overtaken by a later one: nobody who was told of a version ever hears of one before it.
    if (current_ != nullptr && current_->version >= bundles->version) return;
    current_ = bundles;
    watchers = watchers_;
  }
  rpc::TypedStreamHandle<BundleWatcher>::PostAll(std::move(watchers),
                                                 [bundles](BundleWatcher& watcher) { watcher.OnBundles(bundles); });
}

std::vector<rpc::TypedStreamHandle<BundleWatcher>> BundlePublisher::Watchers() const {
  MutexLock lock(mutex_);
  return watchers_;
}

void BundlePublisher::TellEntriesChanged() const {
  rpc::TypedStreamHandle<BundleWatcher>::PostAll(Watchers(),
                                                 [](BundleWatcher& watcher) { watcher.OnEntriesChanged(); });
}

void BundlePublisher::JudgeAgain() {
  if (!judge_later_.exchange(false)) return;
  rpc::TypedStreamHandle<BundleWatcher>::PostAll(Watchers(), [](BundleWatcher& watcher) { watcher.OnJudgeAgain(); });
}

std::shared_ptr<const BundleSecrets> BundlePublisher::Current() const {
  MutexLock lock(mutex_);
  return current_;
}

std::shared_ptr<const BundleSecrets> BundlePublisher::StartWatching(rpc::TypedStreamHandle<BundleWatcher> watcher,
                                                                    Watch& watch) {
  MutexLock lock(mutex_);
  if (current_ == nullptr || watch) return current_;
  watch.publisher_ = this;
  if (free_places_.empty()) {
    watch.place_ = watchers_.size();
    watchers_.push_back(std::move(watcher));
  } else {
    watch.place_ = free_places_.back();
    free_places_.pop_back();
    watchers_[watch.place_] = std::move(watcher);
  }
  return current_;
}

void BundlePublisher::EndWatch(size_t place) {
  MutexLock lock(mutex_);
  watchers_[place] = {};
  free_places_.push_back(place);
}

BundlePublisher::Watch& BundlePublisher::Watch::operator=(Watch&& other) noexcept {
  End();
  publisher_ = std::exchange(other.publisher_, nullptr);
  place_ = other.place_;
  return *this;
}

void BundlePublisher::Watch::End() {
  if (BundlePublisher* const publisher = std::exchange(publisher_, nullptr); publisher != nullptr) {
    publisher->EndWatch(place_);
  }
}

}  // namespace meshca::sds
