// The key of one identity of one instance, as the key ring keeps it.
#ifndef MESHCA_SDS_HELD_KEY_H_
#define MESHCA_SDS_HELD_KEY_H_

#include <cstdint>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "ca/spiffe/spiffe_id.h"
#include "sds/key_ring.h"
#include "sds/secret_snapshot.h"

namespace meshca::sds {

// Its members are guarded by the ring's mutex, apart from the first two.
struct HeldKey {
  HeldKey(std::string instance_name, SpiffeId spiffe_id)
      : instance(std::move(instance_name)), id(std::move(spiffe_id)) {}
  const std::string instance;
  const SpiffeId id;

  std::shared_ptr<const KeyRing::Owner> owner;  // who held it last
  SecretContent::Ptr current;
  absl::Time renew_at = absl::InfiniteFuture();         // as its certificate has it
  absl::Duration renew_due = absl::InfiniteDuration();  // that, since boot; anew whenever the clock was set
  enum { kIdle, kWaiting, kWorking } state = kIdle;
  // Asked for while one was under way: to be made again, or only if that comes from the same authority as the one
  // before.
  enum { kNo, kIfSameAuthority, kYes } again = kNo;
  bool reissue = false;  // has a place by KeySchedule::Reissue, and is not yet replaced
  bool dropped = false;  // no longer in the ring
  // While it was under way certificates were revoked, or entries changed: to be judged before anybody gets what comes.
  bool unjudged = false;
  bool recheck = false;
  uint32_t failures = 0;
  std::vector<std::pair<uint64_t, std::shared_ptr<const KeyRing::Listener>>> holders;

 private:
  friend class KeySchedule;
  absl::Duration timer_ = absl::InfiniteDuration();
  absl::Duration lingers_ = absl::InfiniteDuration();
  std::tuple<int, absl::Time, uint64_t> rank_{};
};
using HeldKeyPtr = std::shared_ptr<HeldKey>;

}  // namespace meshca::sds

#endif  // MESHCA_SDS_HELD_KEY_H_
