#include "sds/key_ring.h"

#include <iterator>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/check.h"
#include "sds/key_ring_impl.h"

namespace meshca::sds {
namespace {

std::string MapKey(absl::string_view instance, const SpiffeId& id) { return absl::StrCat(instance, "\n", id.uri()); }

}  // namespace

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
  key->dropped = true;
  key->current = nullptr;
  keys_.erase(MapKey(key->instance, key->id));
}

KeyRing::Impl::Listeners KeyRing::Impl::ListenersOf(const HeldKey& key) {
  Listeners listeners;
  for (const auto& [ticket, listener] : key.holders) listeners.push_back(listener);
  return listeners;
}

std::pair<HeldKeyPtr, uint64_t> KeyRing::Impl::Hold(Owner owner, const SpiffeId& id, Listener listener,
                                                    SecretContent::Ptr* current) {
  auto shared_listener = std::make_shared<const Listener>(std::move(listener));
  auto shared_owner = std::make_shared<const Owner>(std::move(owner));
  const absl::Time now = clock_.LikelyNow();
  MutexLock lock(mutex_);
  HeldKeyPtr& slot = keys_[MapKey(shared_owner->instance, id)];
  if (slot == nullptr) slot = std::make_shared<HeldKey>(shared_owner->instance, id);
  const HeldKeyPtr key = slot;
  key->owner = std::move(shared_owner);
  const uint64_t ticket = next_ticket_++;
  key->holders.emplace_back(ticket, std::move(shared_listener));
  schedule_.SetLingering(key, absl::InfiniteDuration());

  const bool valid = key->current != nullptr && !key->current->ExpiredAt(now) && !IsFromAhead(*key->current);
  *current = valid ? key->current : nullptr;
  if (!valid && key->owner->judged_long_ago) key->recheck = true;
  if (key->state == HeldKey::kIdle) {
    if (!valid) {
      schedule_.Wait(key, /*urgent=*/true);
    } else if (!schedule_.HasTimer(*key)) {
      Retime(key);  // nobody did while it lingered
    }
    executor_.Nudge();
  }
  return {key, ticket};
}

void KeyRing::Impl::Release(const HeldKeyPtr& key, uint64_t ticket) {
  const std::optional<absl::Time> now = clock_.BelievedNow();
  const absl::Duration boot = clock_.SinceBoot();
  MutexLock lock(mutex_);
  std::erase_if(key->holders, [ticket](const auto& holder) { return holder.first == ticket; });
  if (!key->holders.empty() || key->dropped) return;
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
    if (key->holders.empty() || key->current == nullptr) continue;
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

uint64_t KeyRing::Impl::Reissue(absl::FunctionRef<bool(absl::string_view)> stale, double per_second) {
  MESHCA_CHECK(per_second > 0);
  const absl::Duration boot = clock_.SinceBoot();
  std::vector<HeldKeyPtr> held, unheld;
  MutexLock lock(mutex_);
  for (const auto& [name, key] : keys_) {
    if (key->current == nullptr || !stale(key->current->identity().authority_id)) continue;
    if (key->holders.empty()) {
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
  schedule_.Reissue(std::move(held), boot, absl::Seconds(1) / per_second);
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
        key->recheck = true;  // its owner was judged before the change, and may wait behind others
        continue;
      }
      checks.push_back({key, key->owner, key->current->identity().serial, /*check_only=*/true});
      ++in_flight_;
    }
  }
  for (Attempt& check : checks) Begin(std::move(check));
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
  Listeners left;
  decltype(HeldKey::holders) holders;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    while (in_flight_ > 0) idle_.Wait(mutex_);
    for (const auto& [name, key] : keys_) {
      if (key->current == nullptr) {
        for (const auto& listener : ListenersOf(*key)) left.push_back(listener);
      }
      std::move(key->holders.begin(), key->holders.end(), std::back_inserter(holders));
      key->holders.clear();
    }
  }
  for (const auto& listener : left) (*listener)(absl::UnavailableError("SDS: the server is shutting down"));
}

KeyRing::KeyRing(KeyRingOptions options, SvidSource& svids, Authenticate authenticate, Revocations revocations,
                 const JudgedClock& clock, EntropySource& entropy, SerialExecutor& executor)
    : impl_(std::make_unique<Impl>(options, svids, std::move(authenticate), std::move(revocations), clock, entropy,
                                   executor)) {}
KeyRing::~KeyRing() { impl_->Shutdown(); }

void KeyRing::Recheck() { impl_->Recheck(); }
uint64_t KeyRing::DropRevoked() { return impl_->DropRevoked(); }
KeyRingStats KeyRing::Stats() const { return impl_->Stats(); }
void KeyRing::Shutdown() { impl_->Shutdown(); }

uint64_t KeyRing::Reissue(absl::FunctionRef<bool(absl::string_view)> stale, double per_second) {
  return impl_->Reissue(stale, per_second);
}

std::vector<SpiffeId> KeyRing::Renew(absl::FunctionRef<bool(const SpiffeId&, absl::string_view)> chosen) {
  return impl_->Renew(chosen);
}

KeyRing::Lease KeyRing::Hold(Owner owner, const SpiffeId& id, Listener listener, SecretContent::Ptr* current) {
  auto [key, ticket] = impl_->Hold(std::move(owner), id, std::move(listener), current);
  Lease lease;
  lease.key_ = std::move(key);
  lease.ring_ = this;
  lease.ticket_ = ticket;
  return lease;
}

KeyRing::Lease& KeyRing::Lease::operator=(Lease&& other) noexcept {
  Release();
  key_ = std::move(other.key_);
  ring_ = other.ring_;
  ticket_ = other.ticket_;
  other.key_ = nullptr;
  return *this;
}

void KeyRing::Lease::Release() {
  if (key_ == nullptr) return;
  ring_->impl_->Release(std::static_pointer_cast<HeldKey>(key_), ticket_);
  key_ = nullptr;
}

}  // namespace meshca::sds
