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

// A key has a timer (it will be made or renewed then), or it waits (for its turn to be made now), or neither; never
// both. Beside that it may linger: nobody holds it, and it is dropped when its time has come.
//
// All times are since boot (Clock::SinceBoot): a wall clock that is set moves no timer. Only the order among keys that
// wait goes by the ends of their certificates. Not thread-safe: the ring's mutex guards it, and the keys in it.
class KeySchedule {
 public:
  // The key begins to wait at `when`, in place of the time it had. InfiniteDuration: it has no timer.
  void SetTimer(const HeldKeyPtr& key, absl::Duration when);
  bool HasTimer(const HeldKey& key) const { return key.timer_ != absl::InfiniteDuration(); }
  // Nobody holds the key, and from `until` on it is to be dropped. InfiniteDuration: it does not linger.
  void SetLingering(const HeldKeyPtr& key, absl::Duration until);

  // An idle key begins to wait. The `urgent` keys that have a certificate stand in front, the certificate that ends
  // first before all. Behind them stand all others in the order in which they came: so first certificates and reissues
  // take turns, and neither starves.
  void Wait(const HeldKeyPtr& key, bool urgent);
  // A key that waits becomes idle; any other stays as it is.
  void StopWaiting(HeldKey& key);
  // The key has no timer, and neither waits nor lingers.
  void Remove(const HeldKeyPtr& key);

  // Gives each key of `stale`, whose certificates are to be replaced, its place: a timer. One key every `apart` from
  // now on, the certificate that ends first in front, none later than its HeldKey::renew_due. A key that has a place
  // keeps it; new ones follow after the last. A key whose last attempt failed keeps the timer of its next attempt.
  void Reissue(std::vector<HeldKeyPtr> stale, absl::Duration now, absl::Duration apart);

  // Every key whose timer is due begins to wait: a renewal as an urgent one, a reissue only if its renewal is due too.
  void TakeTimers(absl::Duration now);
  // Takes the key that stands in front of those that wait, and marks it as being worked on. Null: none waits.
  HeldKeyPtr TakeWaiting();
  // A key whose lingering ends: one whose time has come by `now`, or, while more than `lingering_max` keys linger, the
  // one whose time comes first. Null: none.
  HeldKeyPtr EndOfLingering(absl::Duration now, size_t lingering_max) const;

  // The next time at which a timer is due or a lingering key is to be dropped; InfiniteDuration: there is none.
  absl::Duration next() const;
  // How many keys wait.
  size_t waiting() const { return waiting_.size(); }

 private:
  std::set<std::pair<absl::Duration, HeldKeyPtr>> timers_;
  std::set<std::pair<absl::Duration, HeldKeyPtr>> lingering_;
  std::set<std::pair<std::tuple<int, absl::Time, uint64_t>, HeldKeyPtr>> waiting_;
  uint64_t tickets_ = 0;                                     // numbers keys in the order in which they began to wait
  absl::Duration last_reissue_ = -absl::InfiniteDuration();  // the last place of a reissue that came due
};

}  // namespace meshca::sds

#endif  // MESHCA_SDS_KEY_SCHEDULE_H_
