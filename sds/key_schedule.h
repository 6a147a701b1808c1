// When each key is made or renewed: timers, the queue of keys that wait for their turn, and keys that nobody holds.
#ifndef MESHCA_SDS_KEY_SCHEDULE_H_
#define MESHCA_SDS_KEY_SCHEDULE_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "sds/held_key.h"

namespace meshca::sds {

// A key has a timer (at that time it begins to wait), or it waits (in the queue, for its turn to be made), or neither;
// never both. Independently of that it may linger: nobody holds it, and it is dropped when its time has come.
//
// All times are since boot (Clock::SinceBoot): a wall clock that is set moves no timer. Only the order among keys that
// wait goes by the ends of their certificates. Not thread-safe: the ring's mutex guards it, and the keys in it.
class KeySchedule {
 public:
  // Replaces the key's timer: the key begins to wait at `when`. InfiniteDuration: it has no timer any more.
  void SetTimer(const HeldKeyPtr& key, absl::Duration when);
  bool HasTimer(const HeldKey& key) const { return key.timer_ != absl::InfiniteDuration(); }
  // Nobody holds the key, and it is to be dropped at `until`. InfiniteDuration: it does not linger any more.
  void SetLingering(const HeldKeyPtr& key, absl::Duration until);

  // An idle key begins to wait. `urgent` keys that have a certificate already stand in front, sorted by the end of that
  // certificate. All others stand behind them in order of arrival, so neither first certificates nor reissues starve.
  void Wait(const HeldKeyPtr& key, bool urgent);
  // A key that waits becomes idle; any other stays as it is.
  void StopWaiting(HeldKey& key);
  // Afterwards the key has no timer, and neither waits nor lingers.
  void Remove(const HeldKeyPtr& key);

  // Gives each key of `stale`, whose certificates are to be replaced, a timer: one key every `apart` from `now` on, the
  // certificate that ends first in front, none later than its HeldKey::renew_due. A key that has such a timer already
  // keeps it; at most `most` new ones follow after the last. A key whose last attempt failed keeps the timer of its
  // next attempt.
  void Reissue(std::vector<HeldKeyPtr> stale, absl::Duration now, absl::Duration apart,
               size_t most = std::numeric_limits<size_t>::max());

  // Every key whose timer is due by `now` begins to wait. A renewal is urgent; a reissue is urgent only if the key's
  // renewal is due as well.
  void TakeTimers(absl::Duration now);
  // Takes the first key of the queue and sets its state to kWorking. Null: none waits.
  HeldKeyPtr TakeWaiting();
  // A key that is to be dropped: one that lingers and whose time has come by `now` or, while more than `lingering_max`
  // keys linger, the one whose time comes first. It lingers until the caller removes it. Null: none.
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
  absl::Duration last_reissue_ = -absl::InfiniteDuration();  // the timer of the reissue that came due last
};

}  // namespace meshca::sds

#endif  // MESHCA_SDS_KEY_SCHEDULE_H_
