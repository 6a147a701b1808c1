#include "sds/key_ring.h"

#include <optional>
#include <utility>

#include "ca/base/check.h"
#include "sds/key_ring_impl.h"
#include "sds/key_sharing.h"

namespace meshca::sds {

KeyRing::Impl::Impl(KeyRingOptions options, SvidSource& svids, Authenticate authenticate, Revocations revocations,
                    const JudgedClock& clock, EntropySource& entropy, SerialExecutor& executor)
    : options_(options),
      svids_(svids),
      authenticate_(std::move(authenticate)),
      revocations_(std::move(revocations)),
      clock_(clock),
      entropy_(entropy),
      executor_(executor) {
  executor_.AddDuty([this] { return BeginDue(); });
  executor_.OnTick([this] { JudgeAgain(); });
}

void KeyRing::Impl::Drop(const HeldKeyPtr& key) {
  schedule_.Remove(key);
  undecided_.erase(key);
  if (key->current != nullptr) ++stats_.changes;
  key->dropped = true;
  key->current = nullptr;
  for (const auto& [ticket, holding] : key->holdings) held_by_.erase(ticket);
  key->holdings.clear();
  keys_.erase(key->name);
}

void KeyRing::Impl::Tell(const News& news) {
  for (const auto& [holder, what] : news) holder->listener(what);
}

void KeyRing::Impl::AddNews(HeldKey& key, const absl::StatusOr<SecretContent::Ptr>& what, News& news) {
  for (auto& [ticket, holding] : key.holdings) {
    if (what.ok() && holding.held_back) continue;
    if (what.ok()) holding.served = (*what)->identity().generation;
    news.emplace_back(holding.holder, what);
  }
}

HeldKeyPtr KeyRing::Impl::FindOrMake(const std::string& name, const SpiffeId& id, bool shared) {
  HeldKeyPtr& slot = keys_[name];
  if (slot == nullptr) slot = std::make_shared<HeldKey>(name, id, shared);
  return slot;
}

bool KeyRing::Impl::HasValid(const HeldKey& key) const {
  return key.current != nullptr && !key.current->ExpiredAt(clock_.LikelyNow()) && !IsFromAhead(*key.current);
}

void KeyRing::Impl::Add(const HeldKeyPtr& key, uint64_t ticket, HeldKey::Holding holding) {
  key->last = nullptr;
  key->departed.erase(holding.holder->owner.instance);
  key->holdings.emplace(ticket, std::move(holding));
  held_by_[ticket] = key;
  schedule_.SetLingering(key, absl::InfiniteDuration());
  if (key->state != HeldKey::kIdle) return;
  if (!HasValid(*key)) {
    schedule_.Wait(key, /*urgent=*/true);
  } else if (!schedule_.HasTimer(*key)) {
    Retime(key);  // nobody did while it lingered
  }
  executor_.Nudge();
}

uint64_t KeyRing::Impl::Hold(Owner owner, const SpiffeId& id, Listener listener, SecretContent::Ptr* current) {
  const std::string name = SharedKeyName(*owner.caller, owner.instance, id);
  const bool shared = SharesKeys(*owner.caller);
  HeldKey::Holding holding;
  // What others may have says nothing about a caller that was judged for something else, long ago perhaps.
  holding.held_back = owner.judged_long_ago;
  holding.holder = std::make_shared<const KeyHolder>(KeyHolder{std::move(owner), std::move(listener)});
  const bool held_back = holding.held_back;
  Attempt check;
  uint64_t ticket = 0;
  {
    MutexLock lock(mutex_);
    const HeldKeyPtr key = FindOrMake(name, id, shared);
    const bool valid = HasValid(*key);
    *current = valid && !held_back ? key->current : nullptr;
    if (*current != nullptr) holding.served = (*current)->identity().generation;
    if (held_back && !valid) key->recheck = true;
    ticket = next_ticket_++;
    Add(key, ticket, std::move(holding));
    if (!held_back || !valid || stopping_) return ticket;
    check = {key, key->current->identity().serial, /*check_only=*/true, /*recheck=*/false, {ticket}, nullptr};
    ++in_flight_;
  }
  executor_.Run([this, check = std::move(check)]() mutable { Begin(std::move(check)); });
  return ticket;
}

void KeyRing::Impl::Release(uint64_t ticket) {
  const std::optional<absl::Time> now = clock_.BelievedNow();
  const absl::Duration boot = clock_.SinceBoot();
  KeyHolderPtr holder;  // ends without the lock: its listener may own whatever it likes
  MutexLock lock(mutex_);
  const auto found = held_by_.find(ticket);
  if (found == held_by_.end()) return;
  const HeldKeyPtr key = found->second;
  held_by_.erase(found);
  const auto holding = key->holdings.find(ticket);
  holder = holding->second.holder;
  const bool has_newest = key->current != nullptr && holding->second.served == key->current->identity().generation;
  if (has_newest && key->departed.size() < HeldKey::kDepartedMax) {
    key->departed.insert(holder->owner.instance);
  }
  key->holdings.erase(holding);
  if (!key->holdings.empty()) return;
  key->last = std::make_shared<const KeyHolder>(KeyHolder{holder->owner, nullptr});
  key->reissue = false;
  schedule_.SetTimer(key, absl::InfiniteDuration());
  schedule_.StopWaiting(*key);
  const bool ended = key->current == nullptr || (now.has_value() && key->current->ExpiredAt(*now));
  if (key->state == HeldKey::kIdle && ended) return Drop(key);
  schedule_.SetLingering(key, boot + options_.linger);
  while (const HeldKeyPtr first = schedule_.EndOfLingering(boot, options_.lingering_max)) Drop(first);
}

std::vector<SpiffeId> KeyRing::Impl::Renew(absl::FunctionRef<bool(const SpiffeId&, absl::string_view)> chosen) {
  std::vector<SpiffeId> renewed;
  MutexLock lock(mutex_);
  for (const auto& [name, key] : keys_) {
    if (key->holdings.empty() || key->current == nullptr) continue;
    if (!chosen(key->id, key->current->identity().serial)) continue;
    renewed.push_back(key->id);
    if (key->state == HeldKey::kWorking) {
      key->again = HeldKey::kYes;
    } else {
      schedule_.StopWaiting(*key);  // a reissue may wait behind others
      schedule_.Wait(key, /*urgent=*/true);
    }
  }
  executor_.Nudge();
  return renewed;
}

void KeyRing::Impl::VisitKeys(absl::FunctionRef<void(const KeyView&)> visit) const {
  MutexLock lock(mutex_);
  for (const auto& [name, key] : keys_) {
    if (key->current == nullptr) {
      visit({key->id, "", ""});
    } else {
      visit({key->id, key->current->identity().serial, key->current->identity().authority_id});
    }
  }
}

uint64_t KeyRing::Impl::Reissue(absl::FunctionRef<bool(absl::string_view)> stale, double per_second, size_t most) {
  MESHCA_CHECK(per_second > 0);
  const absl::Duration boot = clock_.SinceBoot();
  std::vector<HeldKeyPtr> held, unheld;
  MutexLock lock(mutex_);
  for (const auto& [name, key] : keys_) {
    if (key->current == nullptr || !stale(key->current->identity().authority_id)) continue;
    if (key->holdings.empty()) {
      if (key->state == HeldKey::kIdle) unheld.push_back(key);
      continue;
    }
    held.push_back(key);
    // Begun before anybody knew; what it brings may be stale too.
    if (key->state == HeldKey::kWorking && !key->reissue && key->again == HeldKey::kNo) {
      key->again = HeldKey::kIfSameAuthority;
    }
  }
  const uint64_t left = held.size();
  for (const HeldKeyPtr& key : unheld) Drop(key);
  schedule_.Reissue(std::move(held), boot, absl::Seconds(1) / per_second, most);
  executor_.Nudge();
  return left;
}

void KeyRing::Impl::Recheck() {
  std::vector<Attempt> checks;
  {
    MutexLock lock(mutex_);
    if (stopping_) return;
    for (const auto& [name, key] : keys_) {
      if (key->current == nullptr) {
        key->recheck = true;  // its holders were judged before the change, and may wait behind others
        continue;
      }
      checks.push_back({key, key->current->identity().serial, /*check_only=*/true});
      ++in_flight_;
    }
  }
  for (Attempt& check : checks) {
    executor_.Run([this, check = std::move(check)]() mutable { Begin(std::move(check)); });
  }
}

KeyRingStats KeyRing::Impl::Stats() const {
  MutexLock lock(mutex_);
  KeyRingStats stats = stats_;
  stats.keys = keys_.size();
  stats.waiting = schedule_.waiting();
  stats.in_flight = in_flight_;
  return stats;
}

void KeyRing::Impl::Shutdown() {
  // Who still waits is told, and let go: a listener may own a Lease of this ring.
  News left;
  std::vector<KeyHolderPtr> holders;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    while (in_flight_ > 0) idle_.Wait(mutex_);
    for (const auto& [name, key] : keys_) {
      if (key->current == nullptr) AddNews(*key, absl::UnavailableError("SDS: the server is shutting down"), left);
      for (const auto& [ticket, holding] : key->holdings) holders.push_back(holding.holder);
      key->holdings.clear();
    }
    held_by_.clear();
  }
  Tell(left);
}

KeyRing::KeyRing(KeyRingOptions options, SvidSource& svids, Authenticate authenticate, Revocations revocations,
                 const JudgedClock& clock, EntropySource& entropy, SerialExecutor& executor)
    : impl_(std::make_unique<Impl>(options, svids, std::move(authenticate), std::move(revocations), clock, entropy,
                                   executor)) {}
KeyRing::~KeyRing() { impl_->Shutdown(); }

std::vector<KeyRing::SharedKey> KeyRing::SharedKeys() const { return impl_->SharedKeys(); }
void KeyRing::Restore(RestoredKey key) { impl_->Restore(std::move(key)); }
void KeyRing::TryAgain() { impl_->TryAgain(); }
void KeyRing::Recheck() { impl_->Recheck(); }
uint64_t KeyRing::DropRevoked() { return impl_->DropRevoked(); }
KeyRingStats KeyRing::Stats() const { return impl_->Stats(); }
void KeyRing::Shutdown() { impl_->Shutdown(); }

void KeyRing::VisitKeys(absl::FunctionRef<void(const KeyView&)> visit) const { impl_->VisitKeys(visit); }

uint64_t KeyRing::Reissue(absl::FunctionRef<bool(absl::string_view)> stale, double per_second, size_t most) {
  return impl_->Reissue(stale, per_second, most);
}

std::vector<SpiffeId> KeyRing::Renew(absl::FunctionRef<bool(const SpiffeId&, absl::string_view)> chosen) {
  return impl_->Renew(chosen);
}

KeyRing::Lease KeyRing::Hold(Owner owner, const SpiffeId& id, Listener listener, SecretContent::Ptr* current) {
  Lease lease;
  lease.ticket_ = impl_->Hold(std::move(owner), id, std::move(listener), current);
  lease.ring_ = this;
  return lease;
}

KeyRing::Lease& KeyRing::Lease::operator=(Lease&& other) noexcept {
  Release();
  ring_ = other.ring_;
  ticket_ = std::exchange(other.ticket_, 0);
  return *this;
}

void KeyRing::Lease::Release() {
  if (ticket_ == 0) return;
  ring_->impl_->Release(std::exchange(ticket_, 0));
}

}  // namespace meshca::sds
