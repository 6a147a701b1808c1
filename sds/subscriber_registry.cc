#include "sds/subscriber_registry.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/authority/subscriber_principal.h"
#include "ca/base/check.h"
#include "ca/base/log.h"
#include "ca/base/status.h"
#include "sds/caller.h"

namespace meshca::sds {
namespace {

// One save holds at most this many rows: the writer's other work comes between two.
constexpr size_t kBatchMax = 1000;

// Unavailable, so that a proxy asks again.
absl::Status EndedByOperator() {
  return WithReason(
      absl::UnavailableError("SDS: an operator evicted this subscriber: ask again, and acknowledge what comes"),
      "SUBSCRIBER_EVICTED");
}

InstanceRoom::Place PlaceOf(const SubscriberRecord& record) { return {record.spiffe_id, SubscriberPrincipal(record)}; }

bool IsEvicted(const SubscriberRecord& record) { return record.evicted_at != absl::InfiniteFuture(); }

// It counts as one that has acknowledged nothing.
void ForgetEvidence(SubscriberRecord& record) {
  record.bundle_sequence = 0;
  record.serial.clear();
  record.authority_id.clear();
  record.version_info.clear();
  record.rejected.clear();
  record.acknowledged_at = absl::InfinitePast();
}

void Sort(std::vector<SubscriberRecord>& records) {
  std::sort(records.begin(), records.end(), [](const SubscriberRecord& a, const SubscriberRecord& b) {
    return std::tie(a.spiffe_id, a.instance) < std::tie(b.spiffe_id, b.instance);
  });
}

}  // namespace

// A key as a stream acknowledged it; generation 0: none yet.
struct SubscriberRegistry::HeldKey {
  uint64_t generation = 0;
  std::string serial;
  std::string authority_id;
  std::string version_info;
};

// What one stream contributes. Guarded by the registry's mutex.
struct SubscriberRegistry::Member::State {
  Instance* instance = nullptr;  // null: it was evicted, and is evidence of nothing
  size_t index = 0;              // in Instance::streams
  rpc::StreamHandle stream;
  bool bundle = false;
  bool key = false;
  uint64_t bundle_sequence = 0;
  HeldKey held;
  std::string version_info;
  std::string rejected;  // what its last answer said, when that was a NACK
};

struct SubscriberRegistry::Instance {
  SubscriberRecord record;
  std::vector<Member::State*> streams;
  std::optional<InstanceRoom::Place> counted_as;  // whose room it takes
  bool holds_nothing = true;                      // nothing was ever sent to it
  bool dirty = false;                             // in dirty_
  bool acknowledged = false;                      // and is to be saved for that, when there is time
  uint64_t batch = 0;                             // the last one that held it
  size_t fetches = 0;                             // calls of FetchSecrets under way
  // Of one that fetches: what it was sent last, by SPIFFE ID. A row holds one key, the oldest. Where its version_info
  // is
  // "", others may be held too, and nobody knows whose this one is: it stands here under "" after a restart, and
  // nothing but its end takes it away.
  std::map<std::string, Delivery::Key> fetched;
  void SettleFetched();
  // The least that streams held whose connection broke, while none has come back: their proxy still uses that.
  std::optional<uint64_t> departed_bundle;
  std::optional<HeldKey> departed_key;
  // What streams carried whose connection broke, or that the last run left; believed until then, since boot.
  bool carried_bundle = false;
  bool carried_key = false;
  absl::Duration carried_until = absl::InfiniteDuration();
};

SubscriberRegistry::SubscriberRegistry(SubscriberStore& store, const JudgedClock& clock, absl::Duration leaf_lifetime,
                                       InstanceRoom::Limits limits)
    : store_(store), clock_(clock), leaf_lifetime_(leaf_lifetime), room_(limits) {}

SubscriberRegistry::~SubscriberRegistry() { Shutdown(); }

absl::Status SubscriberRegistry::Load() {
  MESHCA_ASSIGN_OR_RETURN(std::vector<SubscriberRecord> rows, store_.LoadSubscribers());
  MutexLock lock(mutex_);
  for (SubscriberRecord& row : rows) {
    auto instance = std::make_unique<Instance>();
    instance->record = std::move(row);
    instance->record.connected = false;
    instance->carried_bundle = instance->record.takes_bundle;
    instance->carried_key = instance->record.takes_key;
    instance->holds_nothing = false;
    const SubscriberRecord& record = instance->record;
    if (IsFetchKind(record.kind) && record.takes_key) {
      const std::string of = record.version_info.empty() ? "" : record.spiffe_id;
      instance->fetched[of] = {
          of, 0, record.serial, record.authority_id, record.version_info, record.certificate_expires};
    }
    if (!IsEvicted(record)) room_.Count(instance->counted_as, PlaceOf(record));
    std::string name = instance->record.instance;
    instances_.insert_or_assign(std::move(name), std::move(instance));
  }
  return absl::OkStatus();
}

void SubscriberRegistry::Uncount(Instance& instance) { room_.Count(instance.counted_as, std::nullopt); }

absl::StatusOr<SubscriberRegistry::Instance*> SubscriberRegistry::Admit(const SubscriberRecord& info) {
  const auto known = instances_.find(info.instance);
  // Whoever was evicted takes no room, so it needs some to come back.
  if (known == instances_.end() || IsEvicted(known->second->record)) {
    MESHCA_RETURN_IF_ERROR(room_.Admit(PlaceOf(info), clock_.SinceBoot()));
  }
  std::unique_ptr<Instance>& slot = instances_[info.instance];
  if (slot == nullptr) {
    slot = std::make_unique<Instance>();
    slot->record.instance = info.instance;
    slot->record.first_seen = clock_.LikelyNow();
  }
  SubscriberRecord& record = slot->record;
  if (!info.spiffe_id.empty()) record.spiffe_id = info.spiffe_id;
  record.node = info.node;
  record.kind = info.kind;
  record.peer = info.peer;
  room_.Count(slot->counted_as, PlaceOf(record));
  return slot.get();
}

absl::StatusOr<SubscriberRegistry::Member> SubscriberRegistry::Join(const SubscriberRecord& info,
                                                                    rpc::StreamHandle stream) {
  const absl::Time now = clock_.LikelyNow();
  Member member;
  std::vector<SubscriberRecord> batch;
  {
    MutexLock lock(mutex_);
    MESHCA_ASSIGN_OR_RETURN(Instance* const admitted, Admit(info));
    Instance& instance = *admitted;
    member.registry_ = this;
    member.state_ = std::make_shared<Member::State>();
    if (IsEvicted(instance.record)) instance.record.first_seen = now;
    instance.record.evicted_at = absl::InfiniteFuture();
    instance.record.connected = true;
    instance.record.last_seen = now;
    member.state_->instance = &instance;
    member.state_->index = instance.streams.size();
    member.state_->stream = std::move(stream);
    instance.streams.push_back(member.state_.get());
    instance.departed_bundle.reset();
    instance.departed_key.reset();
    instance.carried_until = std::min(instance.carried_until, clock_.SinceBoot() + kComeBack);
    ++stats_.streams;
    Touch(instance);
    batch = TakeBatch();
  }
  Save(std::move(batch));
  return member;
}

absl::StatusOr<SubscriberRegistry::Fetching> SubscriberRegistry::BeginFetch(const SubscriberRecord& info) {
  MutexLock lock(mutex_);
  MESHCA_ASSIGN_OR_RETURN(Instance* const instance, Admit(info));
  ++instance->fetches;
  Fetching fetching;
  fetching.registry_ = this;
  fetching.instance_ = instance;
  return fetching;
}

SubscriberRegistry::Fetching& SubscriberRegistry::Fetching::operator=(Fetching&& other) noexcept {
  End();
  registry_ = std::exchange(other.registry_, nullptr);
  instance_ = std::exchange(other.instance_, nullptr);
  return *this;
}

void SubscriberRegistry::Fetching::End() {
  if (registry_ == nullptr) return;
  SubscriberRegistry& registry = *std::exchange(registry_, nullptr);
  MutexLock lock(registry.mutex_);
  --instance_->fetches;
  if (IsEvicted(instance_->record) && instance_->fetches == 0) registry.Uncount(*instance_);
  registry.DropIfEmpty(*instance_);
}

void SubscriberRegistry::Fetching::Delivered(const Delivery& delivery) {
  if (registry_ == nullptr) return;
  const absl::Time now = registry_->clock_.LikelyNow();
  std::vector<SubscriberRecord> batch;
  {
    MutexLock lock(registry_->mutex_);
    SubscriberRecord& record = instance_->record;
    if (IsEvicted(record)) record.first_seen = now;
    record.evicted_at = absl::InfiniteFuture();
    registry_->room_.Count(instance_->counted_as, PlaceOf(record));
    record.last_seen = now;
    if (delivery.bundle_sequence.has_value()) {
      record.takes_bundle = true;
      record.bundle_sequence = *delivery.bundle_sequence;
      if (instance_->fetched.empty()) record.version_info = delivery.version_info;
    }
    for (const Delivery::Key& key : delivery.keys) {
      record.takes_key = true;
      record.certificate_expires = std::max(record.certificate_expires, key.not_after);
      instance_->fetched[key.spiffe_id] = key;
    }
    instance_->SettleFetched();
    registry_->MayHold(*instance_);
    batch = registry_->TakeBatch();
  }
  registry_->Save(std::move(batch));
}

// The oldest key that it may still hold counts.
void SubscriberRegistry::Instance::SettleFetched() {
  const Delivery::Key* oldest = nullptr;
  for (const auto& [id, key] : fetched) {
    if (oldest == nullptr || key.generation < oldest->generation) oldest = &key;
  }
  if (oldest == nullptr) return;
  record.serial = oldest->serial;
  record.authority_id = oldest->authority_id;
  const bool is_only_and_own = fetched.size() == 1 && oldest->spiffe_id == record.spiffe_id;
  record.version_info = is_only_and_own ? oldest->version_info : "";
}

void SubscriberRegistry::MayHold(Instance& instance) {
  instance.holds_nothing = false;
  Touch(instance);
}

void SubscriberRegistry::DropIfEmpty(Instance& instance) {
  if (!instance.holds_nothing || !instance.streams.empty() || instance.fetches > 0) return;
  Uncount(instance);
  instances_.erase(std::string(instance.record.instance));
}

// Forgets what broken streams carried when they had time enough to come back.
void SubscriberRegistry::DropDoubtful(Instance& instance) const {
  if (clock_.SinceBoot() < instance.carried_until) return;
  instance.carried_bundle = instance.carried_key = false;
}

// The connection of `stream` broke.
void SubscriberRegistry::Remember(Instance& instance, const Member::State& stream) const {
  instance.carried_bundle |= stream.bundle;
  instance.carried_key |= stream.key;
  instance.carried_until = clock_.SinceBoot() + kComeBack;
  if (stream.bundle) {
    instance.departed_bundle =
        std::min(instance.departed_bundle.value_or(stream.bundle_sequence), stream.bundle_sequence);
  }
  if (stream.key &&
      (!instance.departed_key.has_value() || stream.held.generation < instance.departed_key->generation)) {
    instance.departed_key = stream.held;
  }
}

void SubscriberRegistry::Touch(Instance& instance) {
  if (instance.dirty || instance.holds_nothing) return;
  instance.dirty = true;
  dirty_.push_back(instance.record.instance);
}

void SubscriberRegistry::SetAcknowledged(Instance& instance, bool acknowledged) {
  if (std::exchange(instance.acknowledged, acknowledged) == acknowledged) return;
  acknowledged ? ++acknowledged_ : --acknowledged_;
}

void SubscriberRegistry::TouchAcknowledged() {
  if (acknowledged_ == 0) return;
  for (const auto& [name, instance] : instances_) {
    if (instance->acknowledged) Touch(*instance);
  }
  // Batches of neighbours: each changes few pages of the table, and none twice.
  std::sort(dirty_.begin(), dirty_.end());
}

// Not done at each acknowledgement: ten thousand streams of one instance would cost their square.
void SubscriberRegistry::Settle(Instance& instance) const {
  if (IsFetchKind(instance.record.kind)) return;  // what it was sent is there already
  const Member::State* slowest_bundle = nullptr;
  const HeldKey* slowest_key = instance.departed_key.has_value() ? &*instance.departed_key : nullptr;
  SubscriberRecord& record = instance.record;
  if (!instance.streams.empty()) record.rejected.clear();
  const bool believed = clock_.SinceBoot() < instance.carried_until;
  record.takes_bundle = believed && instance.carried_bundle;
  record.takes_key = believed && instance.carried_key;
  for (const Member::State* stream : instance.streams) {
    record.takes_bundle |= stream->bundle;
    record.takes_key |= stream->key;
    if (stream->bundle && (slowest_bundle == nullptr || stream->bundle_sequence < slowest_bundle->bundle_sequence)) {
      slowest_bundle = stream;
    }
    if (stream->key && (slowest_key == nullptr || stream->held.generation < slowest_key->generation)) {
      slowest_key = &stream->held;
    }
    if (!stream->rejected.empty()) record.rejected = stream->rejected;
  }
  if (slowest_bundle != nullptr) {
    record.bundle_sequence = slowest_bundle->bundle_sequence;
    if (slowest_key == nullptr && record.serial.empty()) record.version_info = slowest_bundle->version_info;
  }
  if (instance.departed_bundle.has_value()) {
    record.bundle_sequence = slowest_bundle == nullptr ? *instance.departed_bundle
                                                       : std::min(record.bundle_sequence, *instance.departed_bundle);
  }
  if (slowest_key != nullptr) {
    record.serial = slowest_key->serial;
    record.authority_id = slowest_key->authority_id;
    record.version_info = slowest_key->version_info;
  }
}

SubscriberRecord SubscriberRegistry::RecordOf(const Instance& instance) const {
  Settle(const_cast<Instance&>(instance));
  return instance.record;
}

std::vector<SubscriberRecord> SubscriberRegistry::TakeBatch() {
  std::vector<SubscriberRecord> batch;
  if (saving_ || failing_ || dirty_.empty()) return batch;
  const size_t count = std::min(dirty_.size(), kBatchMax);
  batch.reserve(count);
  ++batch_;
  for (size_t i = 0; i < count; ++i) {
    const auto found = instances_.find(dirty_[i]);
    if (found == instances_.end()) continue;  // forgotten since
    found->second->dirty = false;
    SetAcknowledged(*found->second, false);
    found->second->batch = batch_;
    batch.push_back(RecordOf(*found->second));
  }
  dirty_.erase(dirty_.begin(), dirty_.begin() + static_cast<ptrdiff_t>(count));
  saving_ = !batch.empty();
  return batch;
}

void SubscriberRegistry::Save(std::vector<SubscriberRecord> batch) {
  if (batch.empty()) return;
  std::vector<std::string> instances;
  instances.reserve(batch.size());
  for (const SubscriberRecord& row : batch) instances.push_back(row.instance);
  store_.SaveSubscribers(std::move(batch),
                         [this, instances = std::move(instances)](absl::Status status) { Saved(instances, status); });
}

void SubscriberRegistry::Saved(const std::vector<std::string>& instances, const absl::Status& status) {
  std::vector<SubscriberRecord> batch;
  {
    MutexLock lock(mutex_);
    saving_ = false;
    if (!status.ok()) {
      failing_ = true;
      for (const std::string& name : instances) {
        const auto found = instances_.find(name);
        if (found != instances_.end()) Touch(*found->second);
      }
    }
    batch = TakeBatch();
    // Under the lock: whoever waits in Shutdown may destroy the registry as soon as it gets it.
    saved_.NotifyAll();
  }
  if (!status.ok()) {
    LogWarning("SDS: acknowledgements not saved; will be tried again",
               {{"rows", std::to_string(instances.size())}, {"error", std::string(status.message())}});
  }
  Save(std::move(batch));
}

std::vector<SubscriberRecord> SubscriberRegistry::List() const {
  std::vector<SubscriberRecord> records;
  MutexLock lock(mutex_);
  std::vector<const Instance*> order;  // a record is too big to be sorted itself
  order.reserve(instances_.size());
  for (const auto& [name, instance] : instances_) order.push_back(instance.get());
  std::sort(order.begin(), order.end(), [](const Instance* a, const Instance* b) {
    return std::tie(a->record.spiffe_id, a->record.instance) < std::tie(b->record.spiffe_id, b->record.instance);
  });
  records.reserve(order.size());
  for (const Instance* instance : order) records.push_back(RecordOf(*instance));
  return records;
}

std::optional<SubscriberRecord> SubscriberRegistry::Find(absl::string_view instance) const {
  MutexLock lock(mutex_);
  const auto found = instances_.find(instance);
  if (found == instances_.end()) return std::nullopt;
  return RecordOf(*found->second);
}

bool SubscriberRegistry::Knows(absl::string_view instance) const {
  MutexLock lock(mutex_);
  return instances_.contains(instance);
}

std::vector<rpc::StreamHandle> SubscriberRegistry::DetachStreams(Instance& instance) {
  std::vector<rpc::StreamHandle> handles;
  for (Member::State* const stream : instance.streams) {
    instance.carried_bundle |= stream->bundle;
    instance.carried_key |= stream->key;
    stream->instance = nullptr;
    handles.push_back(std::move(stream->stream));
  }
  stats_.streams -= instance.streams.size();
  instance.streams.clear();
  instance.carried_until = absl::InfiniteDuration();
  return handles;
}

absl::StatusOr<SubscriberRegistry::Evicted> SubscriberRegistry::Evict(
    absl::FunctionRef<bool(const SubscriberRecord&)> chosen) {
  const absl::Time now = clock_.LikelyNow();
  Evicted evicted;
  std::vector<std::string> names;
  std::vector<rpc::StreamHandle> handles;
  std::vector<SubscriberRecord> batch;
  {
    MutexLock lock(mutex_);
    if (closed_) return absl::UnavailableError("SDS: the server is shutting down");
    for (const auto& [name, instance] : instances_) {
      if (IsEvicted(instance->record) || !chosen(RecordOf(*instance))) continue;
      names.push_back(name);
    }
    for (const std::string& name : names) {
      Instance& instance = *instances_.at(name);
      if (!instance.streams.empty()) ++evicted.ended;
      for (rpc::StreamHandle& handle : DetachStreams(instance)) handles.push_back(std::move(handle));
      instance.departed_bundle.reset();
      instance.departed_key.reset();
      instance.fetched.clear();
      ForgetEvidence(instance.record);
      instance.record.connected = false;
      instance.record.evicted_at = now;
      Uncount(instance);
      MayHold(instance);  // until it is saved that it does not count
    }
    failing_ = false;  // somebody waits: try now, whatever became of the last save
    batch = TakeBatch();
  }
  Save(std::move(batch));
  absl::Status saved;
  {
    MutexLock lock(mutex_);
    saved = AwaitEvicted(names, now);
    for (const std::string& name : names) {
      const auto found = instances_.find(name);
      if (found != instances_.end()) evicted.records.push_back(RecordOf(*found->second));
    }
  }
  // Saved or not, those streams are evidence no more, and whoever is served has to be counted.
  for (const rpc::StreamHandle& handle : handles) {
    handle.Post([](rpc::StreamHandler& self) { static_cast<EvictableStream&>(self).OnEvicted(EndedByOperator()); });
  }
  MESHCA_RETURN_IF_ERROR(saved);
  Sort(evicted.records);
  return evicted;
}

// Rows are saved in the order of their changes, one batch at a time; so this waits until the batches that hold the
// evictions have ended. Who came back meanwhile is saved as that.
absl::Status SubscriberRegistry::AwaitEvicted(const std::vector<std::string>& instances, absl::Time evicted_at) {
  while (true) {
    bool unsaved = false, being_saved = false;
    for (const std::string& name : instances) {
      const auto found = instances_.find(name);
      if (found == instances_.end() || found->second->record.evicted_at != evicted_at) continue;
      unsaved |= found->second->dirty;
      being_saved |= saving_ && found->second->batch == batch_;
    }
    if (!unsaved && !being_saved) return absl::OkStatus();
    if (unsaved && failing_) return TakeBack(instances, evicted_at);
    saved_.Wait(mutex_);
  }
}

absl::Status SubscriberRegistry::TakeBack(const std::vector<std::string>& instances, absl::Time evicted_at) {
  size_t taken_back = 0;
  for (const std::string& name : instances) {
    const auto found = instances_.find(name);
    if (found == instances_.end() || !found->second->dirty) continue;
    Instance& instance = *found->second;
    if (instance.record.evicted_at != evicted_at) continue;
    instance.record.evicted_at = absl::InfiniteFuture();
    room_.Count(instance.counted_as, PlaceOf(instance.record));
    ++taken_back;
  }
  return absl::UnavailableError(
      absl::StrCat(taken_back, " of ", instances.size(),
                   " subscribers were not evicted, because the database does not take it; the "
                   "server's log says why. They count as ones that have acknowledged nothing"));
}

// A fetched key that has ended is held no more, while another one keeps its instance remembered.
void SubscriberRegistry::DropEndedKeys(Instance& instance, absl::Time now) {
  if (instance.fetched.size() < 2) return;
  if (std::erase_if(instance.fetched, [now](const auto& key) { return key.second.not_after <= now; }) == 0) return;
  instance.SettleFetched();
  Touch(instance);
}

void SubscriberRegistry::CertificatesEnd(absl::string_view instance, absl::Time until) {
  std::vector<SubscriberRecord> batch;
  {
    MutexLock lock(mutex_);
    const auto found = instances_.find(instance);
    if (found == instances_.end()) return;
    SubscriberRecord& record = found->second->record;
    // Not the infinite past: that is an instance which never had a certificate, and is remembered for a lifetime.
    until = std::max(until, absl::UnixEpoch());
    if (record.certificate_expires <= until) return;
    record.certificate_expires = until;
    Touch(*found->second);
    batch = TakeBatch();
  }
  Save(std::move(batch));
}

void SubscriberRegistry::Tick() {
  const std::optional<absl::Time> now = clock_.BelievedNow();
  std::vector<std::string> forgotten;
  std::vector<SubscriberRecord> batch;
  {
    MutexLock lock(mutex_);
    for (const auto& [name, instance] : instances_) {
      const SubscriberRecord& record = instance->record;
      if (!now.has_value() || !instance->streams.empty() || instance->fetches > 0) continue;
      const absl::Time until = record.certificate_expires != absl::InfinitePast() ? record.certificate_expires
                                                                                  : record.last_seen + leaf_lifetime_;
      if (until <= *now) forgotten.push_back(name);
    }
    for (const std::string& name : forgotten) {
      Uncount(*instances_.at(name));
      SetAcknowledged(*instances_.at(name), false);
      instances_.erase(name);
    }
    if (now.has_value()) {
      for (const auto& [name, instance] : instances_) DropEndedKeys(*instance, *now);
    }
    room_.Tidy(clock_.SinceBoot());
    TouchAcknowledged();
    failing_ = false;
    batch = TakeBatch();
  }
  Save(std::move(batch));
  for (size_t first = 0; first < forgotten.size(); first += kBatchMax) {
    const auto begin = forgotten.begin() + static_cast<ptrdiff_t>(first);
    Forget({begin, begin + static_cast<ptrdiff_t>(std::min(kBatchMax, forgotten.size() - first))});
  }
}

void SubscriberRegistry::Forget(std::vector<std::string> instances) {
  {
    MutexLock lock(mutex_);
    ++forgetting_;
  }
  std::vector<std::string> names = instances;
  store_.DeleteSubscribers(std::move(instances),
                           [this, names = std::move(names)](absl::Status status) { Forgotten(names, status); });
}

void SubscriberRegistry::Forgotten(const std::vector<std::string>& instances, const absl::Status& status) {
  if (!status.ok()) {
    // Rows that stay behind are read at the next start and deleted then.
    LogWarning("SDS: subscribers that ended not deleted",
               {{"rows", std::to_string(instances.size())}, {"error", std::string(status.message())}});
  }
  std::vector<SubscriberRecord> batch;
  {
    MutexLock lock(mutex_);
    // Who came back meanwhile may have been saved before the deletion was queued.
    for (const std::string& name : instances) {
      const auto back = instances_.find(name);
      if (back != instances_.end()) Touch(*back->second);
    }
    --forgetting_;
    batch = TakeBatch();
    saved_.NotifyAll();  // under the lock, as in Saved
  }
  Save(std::move(batch));
}

void SubscriberRegistry::Shutdown() {
  std::vector<SubscriberRecord> batch;
  {
    MutexLock lock(mutex_);
    if (std::exchange(closed_, true)) return;
    TouchAcknowledged();
    failing_ = false;
    batch = TakeBatch();
  }
  Save(std::move(batch));
  MutexLock lock(mutex_);
  while (saving_ || forgetting_ > 0) saved_.Wait(mutex_);
}

RegistryStats SubscriberRegistry::Stats() const {
  MutexLock lock(mutex_);
  RegistryStats stats = stats_;
  stats.known = instances_.size();
  stats.unsaved = dirty_.size();
  for (const auto& [name, instance] : instances_) stats.unsaved += instance->acknowledged && !instance->dirty ? 1 : 0;
  stats.connected = 0;
  for (const auto& [name, instance] : instances_) stats.connected += instance->streams.empty() ? 0 : 1;
  return stats;
}

SubscriberRegistry::Member& SubscriberRegistry::Member::operator=(Member&& other) noexcept {
  Leave(/*broken=*/false);
  registry_ = std::exchange(other.registry_, nullptr);
  state_ = std::move(other.state_);
  return *this;
}

void SubscriberRegistry::Member::Carries(bool bundle, bool key) {
  if (registry_ == nullptr) return;
  std::vector<SubscriberRecord> batch;
  {
    MutexLock lock(registry_->mutex_);
    if (state_->instance == nullptr || (state_->bundle == bundle && state_->key == key)) return;
    state_->bundle = bundle;
    state_->key = key;
    registry_->Touch(*state_->instance);
    batch = registry_->TakeBatch();
  }
  registry_->Save(std::move(batch));
}

void SubscriberRegistry::Member::Sent() { SentCertificate(absl::InfinitePast()); }

void SubscriberRegistry::Member::SentCertificate(absl::Time not_after) {
  if (registry_ == nullptr) return;
  std::vector<SubscriberRecord> batch;
  {
    MutexLock lock(registry_->mutex_);
    if (state_->instance == nullptr) return;
    Instance& instance = *state_->instance;
    instance.record.certificate_expires = std::max(instance.record.certificate_expires, not_after);
    if (!instance.holds_nothing) return;
    registry_->MayHold(instance);
    batch = registry_->TakeBatch();
  }
  registry_->Save(std::move(batch));
}

void SubscriberRegistry::Member::Acknowledged(const Evidence& evidence) {
  if (registry_ == nullptr) return;
  const absl::Time now = registry_->clock_.LikelyNow();
  MutexLock lock(registry_->mutex_);
  if (state_->instance == nullptr) return;
  if (evidence.bundle_sequence != 0) state_->bundle_sequence = evidence.bundle_sequence;
  if (!evidence.serial.empty()) {
    state_->held = {evidence.generation, evidence.serial, evidence.authority_id, evidence.version_info};
  }
  if (!evidence.version_info.empty()) state_->version_info = evidence.version_info;
  Instance& instance = *state_->instance;
  instance.holds_nothing = false;
  instance.record.last_seen = instance.record.acknowledged_at = now;
  state_->rejected.clear();
  ++registry_->stats_.acknowledged;
  registry_->SetAcknowledged(instance, true);
}

void SubscriberRegistry::Member::Rejected(absl::string_view what) {
  if (registry_ == nullptr) return;
  const absl::Time now = registry_->clock_.LikelyNow();
  std::vector<SubscriberRecord> batch;
  {
    MutexLock lock(registry_->mutex_);
    if (state_->instance == nullptr) return;
    Instance& instance = *state_->instance;
    instance.holds_nothing = false;
    instance.record.last_seen = now;
    state_->rejected = what.empty() ? "(no reason given)" : std::string(what);
    ++registry_->stats_.rejected;
    registry_->Touch(instance);
    batch = registry_->TakeBatch();
  }
  registry_->Save(std::move(batch));
}

void SubscriberRegistry::Member::Leave(bool broken) {
  if (registry_ == nullptr) return;
  SubscriberRegistry& registry = *std::exchange(registry_, nullptr);
  const absl::Time now = registry.clock_.LikelyNow();
  std::vector<SubscriberRecord> batch;
  {
    MutexLock lock(registry.mutex_);
    if (state_->instance == nullptr) return;
    Instance& instance = *state_->instance;
    registry.DropDoubtful(instance);
    if (instance.streams.size() == 1) registry.Settle(instance);  // what the last one leaves is remembered
    if (broken) {
      registry.Remember(instance, *state_);
    } else if (instance.streams.size() == 1) {
      // A program that ends in good order gives its streams up too, and the certificate it had lives on.
      instance.carried_bundle |= state_->bundle;
      instance.carried_key |= state_->key;
    }
    instance.streams[state_->index] = instance.streams.back();
    instance.streams[state_->index]->index = state_->index;
    instance.streams.pop_back();
    instance.record.last_seen = now;
    instance.record.connected = !instance.streams.empty();
    if (instance.streams.empty()) instance.carried_until = absl::InfiniteDuration();
    --registry.stats_.streams;
    registry.Touch(instance);
    registry.DropIfEmpty(instance);
    batch = registry.TakeBatch();
  }
  state_ = nullptr;
  registry.Save(std::move(batch));
}

}  // namespace meshca::sds
