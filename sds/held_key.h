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

// Guarded by the ring's mutex, but for the first two members, which never change.
struct HeldKey {
  HeldKey(std::string instance_name, SpiffeId spiffe_id)
      : instance(std::move(instance_name)), id(std::move(spiffe_id)) {}
  const std::string instance;
  const SpiffeId id;

  std::shared_ptr<const KeyRing::Owner> owner;          // whoever asked for it last: who is judged before it is renewed
  SecretContent::Ptr current;                           // null: it has no certificate yet
  absl::Time renew_at = absl::InfiniteFuture();         // when `current` is renewed, by the wall clock
  absl::Duration renew_due = absl::InfiniteDuration();  // the same since boot; worked out anew when the clock was set
  enum {
    kIdle,     // nothing is being done
    kWaiting,  // for its turn to ask for a certificate
    kWorking,  // a certificate has been asked for
  } state = kIdle;
  // Whether another certificate is made when the one that is under way has come, because a renewal or a reissue was
  // asked for meanwhile.
  enum {
    kNo,
    kIfSameAuthority,  // a reissue: only if what comes was signed by the authority that signed `current`
    kYes,              // a renewal
  } again = kNo;
  bool reissue = false;  // it has a place by KeySchedule::Reissue, and was not replaced yet
  bool dropped = false;  // it is no longer in the ring
  // Certificates were revoked while one was under way: what comes is judged before anybody gets it.
  bool unjudged = false;
  // Entries changed while one was under way, or before it was asked for: its owner is judged again.
  bool recheck = false;
  uint32_t failures = 0;  // attempts without a certificate since the last one that came
  // Who holds it, by ticket.
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
