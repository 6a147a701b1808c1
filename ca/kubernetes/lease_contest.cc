#include "ca/kubernetes/lease_contest.h"

#include <algorithm>
#include <limits>

namespace meshca::kubernetes {

namespace {

// The API server refuses more (an int32), and what stands there somebody else may have written.
constexpr int64_t kTransitionsMax = std::numeric_limits<int32_t>::max();

// As ToRelease makes it. One that was deleted, or whose holder somebody changed by hand, was not given back.
bool IsGivenBack(const LeaseRecord& record) {
  return !record.resource_version.empty() && record.holder.empty() && record.process.empty();
}

}  // namespace

// How long somebody else's counts, if it does not change any more.
absl::Duration LeaseContest::LastsUntil() const {
  return changed_at_ + std::clamp(record_.duration, terms_.duration, std::max(terms_.duration, terms_.duration_max));
}

LeaseContest::Step LeaseContest::Next(absl::Duration now) const {
  if (look_first_) return {false, std::max(now, next_)};
  // Nobody's; this process's, to be renewed; or that of one before it, which is dead.
  if (!IsAnothers()) {
    // Whoever held it when it went does not know that yet: he writes until his next renewal.
    if (now < free_from_) return {false, std::max(now, std::min(next_, free_from_))};
    return {true, std::max(now, next_)};
  }
  if (now >= LastsUntil()) return {true, std::max(now, next_)};
  return {false, std::max(now, std::min(next_, LastsUntil()))};
}

LeaseRecord LeaseContest::ToTake(absl::Time wall) const {
  LeaseRecord record = record_;
  record.holder = terms_.identity;
  record.process = terms_.process;
  record.duration = terms_.duration;
  record.renewed = wall;
  // Not what stands there: somebody who took that out, or wrote the year 1, would have every renewal refused.
  record.acquired = IsOurs() && acquired_ != absl::InfinitePast() ? acquired_ : wall;
  const bool changes_hands = !IsOfIdentity() && !record_.resource_version.empty();
  record.transitions = std::clamp<int64_t>(record_.transitions + (changes_hands ? 1 : 0), 0, kTransitionsMax);
  return record;
}

LeaseRecord LeaseContest::ToRelease(absl::Time wall) const {
  LeaseRecord record = record_;
  record.holder.clear();
  record.process.clear();
  record.acquired = acquired_ != absl::InfinitePast() ? acquired_ : wall;
  record.renewed = wall;
  record.duration = terms_.duration;
  record.transitions = std::clamp<int64_t>(record.transitions, 0, kTransitionsMax);
  return record;
}

void LeaseContest::Seen(const LeaseRecord& record, absl::Duration now) {
  const bool was_anothers = IsAnothers();
  const absl::Duration would_last_until = LastsUntil();
  if (!is_known_ || record.resource_version != record_.resource_version) changed_at_ = now;
  is_known_ = true;
  look_first_ = false;
  record_ = record;
  if (IsAnothers() || IsOurs() || IsGivenBack(record)) {
    free_from_ = -absl::InfiniteDuration();
  } else if (was_anothers) {
    free_from_ = would_last_until;
  }
  // Somebody else has taken it, by whatever right.
  if (!IsOurs()) held_until_ = -absl::InfiniteDuration();
  next_ = IsAnothers() || now < free_from_ ? now + terms_.look_every : now;
}

void LeaseContest::Taken(const LeaseRecord& record, absl::Duration begun, absl::Duration now) {
  Seen(record, now);
  if (!IsOurs()) return;
  has_had_it_ = true;
  acquired_ = record.acquired;
  held_until_ = begun + terms_.deadline;
  next_ = begun + terms_.renew_every;
}

void LeaseContest::Unknown(absl::Duration wait, absl::Duration now) {
  look_first_ = true;
  next_ = now + wait;
}

}  // namespace meshca::kubernetes
