#include "ca/kubernetes/lease_contest.h"

#include <algorithm>

namespace meshca::kubernetes {

// How long somebody else's counts, if it does not change any more.
absl::Duration LeaseContest::LastsUntil() const {
  return changed_at_ + std::clamp(record_.duration, terms_.duration, std::max(terms_.duration, terms_.duration_max));
}

LeaseContest::Step LeaseContest::Next(absl::Duration now) const {
  if (look_first_) return {false, std::max(now, next_)};
  // Nobody's; this process's, to be renewed; or that of one before it, which is dead.
  if (!IsAnothers()) return {true, std::max(now, next_)};
  if (now >= LastsUntil()) return {true, std::max(now, next_)};
  return {false, std::max(now, std::min(next_, LastsUntil()))};
}

LeaseRecord LeaseContest::ToTake(absl::Time wall) const {
  LeaseRecord record = record_;
  record.holder = terms_.identity;
  record.process = terms_.process;
  record.duration = terms_.duration;
  record.renewed = wall;
  if (!IsOurs()) record.acquired = wall;
  if (!IsOfIdentity() && !record_.resource_version.empty()) ++record.transitions;
  return record;
}

LeaseRecord LeaseContest::ToRelease(absl::Time wall) const {
  LeaseRecord record = record_;
  record.holder.clear();
  record.process.clear();
  record.renewed = wall;
  return record;
}

void LeaseContest::Seen(const LeaseRecord& record, absl::Duration now) {
  if (!is_known_ || record.resource_version != record_.resource_version) changed_at_ = now;
  is_known_ = true;
  look_first_ = false;
  record_ = record;
  // Somebody else has taken it, by whatever right.
  if (!IsOurs()) held_until_ = -absl::InfiniteDuration();
  next_ = IsAnothers() ? now + terms_.look_every : now;
}

void LeaseContest::Taken(const LeaseRecord& record, absl::Duration begun, absl::Duration now) {
  Seen(record, now);
  if (!IsOurs()) return;
  has_had_it_ = true;
  held_until_ = begun + terms_.deadline;
  next_ = begun + terms_.renew_every;
}

void LeaseContest::Unknown(absl::Duration wait, absl::Duration now) {
  look_first_ = true;
  next_ = now + wait;
}

}  // namespace meshca::kubernetes
