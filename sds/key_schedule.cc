#include "sds/key_schedule.h"

#include <algorithm>

#include "ca/base/check.h"

namespace meshca::sds {

void KeySchedule::SetTimer(const HeldKeyPtr& key, absl::Duration when) {
  if (key->timer_ == when) return;
  if (HasTimer(*key)) timers_.erase({key->timer_, key});
  key->timer_ = when;
  if (HasTimer(*key)) timers_.emplace(when, key);
}

void KeySchedule::SetLingering(const HeldKeyPtr& key, absl::Duration until) {
  if (key->lingers_ != absl::InfiniteDuration()) lingering_.erase({key->lingers_, key});
  key->lingers_ = until;
  if (until != absl::InfiniteDuration()) lingering_.emplace(until, key);
}

void KeySchedule::Wait(const HeldKeyPtr& key, bool urgent) {
  MESHCA_CHECK(key->state == HeldKey::kIdle);
  SetTimer(key, absl::InfiniteDuration());
  key->state = HeldKey::kWaiting;
  key->rank_ = urgent && key->current != nullptr ? std::make_tuple(0, key->current->identity().not_after, tickets_++)
                                                 : std::make_tuple(1, absl::InfinitePast(), tickets_++);
  waiting_.emplace(key->rank_, key);
}

void KeySchedule::StopWaiting(HeldKey& key) {
  if (key.state != HeldKey::kWaiting) return;
  const auto place = waiting_.lower_bound({key.rank_, nullptr});
  waiting_.erase(place);
  key.state = HeldKey::kIdle;
}

void KeySchedule::Remove(const HeldKeyPtr& key) {
  SetTimer(key, absl::InfiniteDuration());
  SetLingering(key, absl::InfiniteDuration());
  StopWaiting(*key);
}

void KeySchedule::Reissue(std::vector<HeldKeyPtr> stale, absl::Duration now, absl::Duration apart, size_t most) {
  absl::Duration place = std::max(now, last_reissue_ + apart);
  for (const HeldKeyPtr& key : stale) {
    if (key->reissue && key->failures == 0 && HasTimer(*key)) place = std::max(place, key->timer_ + apart);
  }
  std::erase_if(stale, [](const HeldKeyPtr& key) { return key->reissue || key->state != HeldKey::kIdle; });
  std::sort(stale.begin(), stale.end(), [](const HeldKeyPtr& a, const HeldKeyPtr& b) {
    return a->current->identity().not_after < b->current->identity().not_after;
  });
  if (stale.size() > most) stale.resize(most);
  for (const HeldKeyPtr& key : stale) {
    key->reissue = true;
    if (key->failures > 0) continue;
    SetTimer(key, std::min(place, key->renew_due));
    place += apart;
  }
}

void KeySchedule::TakeTimers(absl::Duration now) {
  while (!timers_.empty() && timers_.begin()->first <= now) {
    const HeldKeyPtr key = timers_.begin()->second;
    if (key->reissue && key->failures == 0) last_reissue_ = key->timer_;
    Wait(key, /*urgent=*/!key->reissue || key->renew_due <= now);
  }
}

HeldKeyPtr KeySchedule::TakeWaiting() {
  if (waiting_.empty()) return nullptr;
  HeldKeyPtr key = waiting_.begin()->second;
  waiting_.erase(waiting_.begin());
  key->state = HeldKey::kWorking;
  return key;
}

HeldKeyPtr KeySchedule::EndOfLingering(absl::Duration now, size_t lingering_max) const {
  if (lingering_.empty()) return nullptr;
  if (lingering_.begin()->first > now && lingering_.size() <= lingering_max) return nullptr;
  return lingering_.begin()->second;
}

absl::Duration KeySchedule::next() const {
  absl::Duration next = absl::InfiniteDuration();
  if (!timers_.empty()) next = timers_.begin()->first;
  if (!lingering_.empty()) next = std::min(next, lingering_.begin()->first);
  return next;
}

}  // namespace meshca::sds
