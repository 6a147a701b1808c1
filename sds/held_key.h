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

// Guarded by the ring's mutex, except `instance` and `id`, which never change.
struct HeldKey {
  HeldKey(std::string instance_name, SpiffeId spiffe_id)
      : instance(std::move(instance_name)), id(std::move(spiffe_id)) {}
  const std::string instance;
  const SpiffeId id;

  std::shared_ptr<const KeyRing::Owner> owner;          // the caller that asked for it last; judged before each renewal
  SecretContent::Ptr current;                           // key and certificate; null: it has none yet
  absl::Time renew_at = absl::InfiniteFuture();         // wall clock time at which `current` is renewed
  absl::Duration renew_due = absl::InfiniteDuration();  // the same since boot; recomputed when the wall clock was set
  enum {
    kIdle,     // nothing is being done
    kWaiting,  // it waits for its turn to ask for a certificate
    kWorking,  // a certificate was asked for and has not come yet
  } state = kIdle;
  // Whether another certificate has to be made after the one that is on its way, because a renewal or a reissue was
  // asked for meanwhile.
  enum {
    kNo,
    kIfSameAuthority,  // a reissue: only if what comes was signed by the authority that signed `current`
    kYes,              // a renewal
  } again = kNo;
  bool reissue = false;  // KeySchedule::Reissue gave it a time, and it was not replaced yet
  bool dropped = false;  // it is no longer in the ring
  // Some certificates were revoked while this key's next one was on its way: whether that one is among them is asked
  // before anybody gets it.
  bool unjudged = false;
  // Registration entries changed while the certificate was on its way, or its owner was judged too long before asking
  // for it: the owner is judged again.
  bool recheck = false;
  uint32_t failures = 0;  // attempts without a certificate since the last one that came
  // The listeners of its leases, each with the lease's ticket.
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
