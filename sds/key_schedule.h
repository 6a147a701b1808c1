// When which key is made: timers, the queue of those that wait for their turn, and those nobody holds for the moment.
#ifndef MESHCA_SDS_KEY_SCHEDULE_H_
#define MESHCA_SDS_KEY_SCHEDULE_H_

#include <cstddef>
#include <cstdint>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "sds/held_key.h"

namespace meshca::sds {

// All times are since boot (Clock::SinceBoot): a wall clock that is set moves no timer. Only the order among those that
// wait goes by the ends of their certificates. A key is in at most one of two places: it has a timer, or it waits.
// Beside that it may linger. Not thread-safe: the ring's mutex guards it, and the keys in it.
class KeySchedule {
 public:
  // The key waits from `when` on; InfiniteDuration: it has no timer.
  void SetTimer(const HeldKeyPtr& key, absl::Duration when);
  bool HasTimer(const HeldKey& key) const { return key.timer_ != absl::InfiniteDuration(); }
  // Nobody holds it; from `until` on it is to be dropped. InfiniteDuration: it does not linger.
  void SetLingering(const HeldKeyPtr& key, absl::Duration until);

  // An idle key begins to wait. In front are the `urgent` ones that have a certificate, by its end; behind them the
  // others, in the order in which they came: so first certificates and reissues take turns, and neither starves.
  void Wait(const HeldKeyPtr& key, bool urgent);
  void StopWaiting(HeldKey& key);  // idle again, if it waited
  // Out of everything.
  void Remove(const HeldKeyPtr& key);

  // Gives each of `stale`, whose certificates are to be replaced, its place: one every `apart` from now on, those that
  // end first in front, none later than its renew_due. Those that have a place keep it, and others come behind them.
  // One that failed keeps its timer, which is that of its next attempt.
  void Reissue(std::vector<HeldKeyPtr> stale, absl::Duration now, absl::Duration apart);

  // Keys whose timers are due begin to wait; a reissue is urgent when its renewal is due as well.
  void TakeTimers(absl::Duration now);
  // The first that waits, which is now being worked on; null: none waits.
  HeldKeyPtr TakeWaiting();
  // One that has lingered until `now`, or the one nearest to that while more than `lingering_max` do; null: none.
  HeldKeyPtr EndOfLingering(absl::Duration now, size_t lingering_max) const;

  // When the next timer is due or the next key has lingered long enough.
  absl::Duration next() const;
  size_t waiting() const { return waiting_.size(); }

 private:
  std::set<std::pair<absl::Duration, HeldKeyPtr>> timers_;
  std::set<std::pair<absl::Duration, HeldKeyPtr>> lingering_;
  std::set<std::pair<std::tuple<int, absl::Time, uint64_t>, HeldKeyPtr>> waiting_;
  uint64_t tickets_ = 0;
  absl::Duration last_reissue_ = -absl::InfiniteDuration();  // the last place that came due
};

}  // namespace meshca::sds

#endif  // MESHCA_SDS_KEY_SCHEDULE_H_
