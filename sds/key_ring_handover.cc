// What outlives a process: the keys that it hands to the next one, and those that it takes over.
#include <algorithm>
#include <utility>

#include "sds/key_ring_impl.h"

namespace meshca::sds {
namespace {

// Over how long attempts are spread that may succeed now: a node's keys are asked for in a few messages, not in one.
constexpr absl::Duration kTryAgainWithin = absl::Seconds(1);

}  // namespace

std::vector<KeyRing::SharedKey> KeyRing::Impl::SharedKeys() const {
  const absl::Time now = clock_.LikelyNow();
  std::vector<SharedKey> keys;
  MutexLock lock(mutex_);
  keys.reserve(keys_.size());
  for (const auto& [name, key] : keys_) {
    if (!key->shared || key->current == nullptr || key->current->ExpiredAt(now)) continue;
    keys.push_back({name, key->current, key->renew_at});
  }
  return keys;
}

void KeyRing::Impl::Restore(RestoredKey restored) {
  const std::string chain = restored.svid.ChainPem();
  const absl::Duration boot = clock_.SinceBoot();
  SecretContent::Identity identity{restored.id,
                                   std::move(restored.svid.serial),
                                   std::move(restored.svid.authority_id),
                                   restored.svid.validity.not_after,
                                   0,
                                   restored.svid.validity.not_before};
  MutexLock lock(mutex_);
  if (stopping_ || keys_.contains(restored.name)) return;
  const HeldKeyPtr key = FindOrMake(restored.name, restored.id, /*shared=*/true);
  identity.generation = ++generation_;
  key->current = SecretContent::OfIdentity(std::move(identity), restored.key_pem, chain);
  // Whoever holds it first has the timer set by this (Retime).
  key->renew_at = std::min(restored.renew_at, restored.svid.validity.not_after);
  ++stats_.changes;
  schedule_.SetLingering(key, boot + options_.linger);
  while (const HeldKeyPtr first = schedule_.EndOfLingering(boot, options_.lingering_max)) Drop(first);
  executor_.Nudge();
}

void KeyRing::Impl::TryAgain() {
  const absl::Duration boot = clock_.SinceBoot();
  MutexLock lock(mutex_);
  for (const auto& [name, key] : keys_) {
    if (key->holdings.empty() || key->failures == 0 || key->state != HeldKey::kIdle) continue;
    schedule_.SetTimer(key, boot + UniformDuration(entropy_, absl::ZeroDuration(), kTryAgainWithin));
  }
  executor_.Nudge();
}

}  // namespace meshca::sds
