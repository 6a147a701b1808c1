// One key and its certificate, and who holds it, as the key ring keeps them.
#ifndef MESHCA_SDS_HELD_KEY_H_
#define MESHCA_SDS_HELD_KEY_H_

#include <cstdint>
#include <memory>
#include <string>
#include <tuple>
#include <utility>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/time/time.h"
#include "ca/spiffe/spiffe_id.h"
#include "sds/key_ring.h"
#include "sds/secret_snapshot.h"

namespace meshca::sds {

// Who holds a key by one lease, and who is told. Immutable.
struct KeyHolder {
  KeyRing::Owner owner;
  KeyRing::Listener listener;
};
using KeyHolderPtr = std::shared_ptr<const KeyHolder>;

// Guarded by the ring's mutex, except `id` and `shared`, which never change.
struct HeldKey {
  HeldKey(std::string key_name, SpiffeId spiffe_id, bool is_shared)
      : id(std::move(spiffe_id)), shared(is_shared), name(std::move(key_name)) {}
  const SpiffeId id;
  const bool shared;  // its holders may be several instances

  std::string name;                                     // SharedKeyName of those who may hold it
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
  // Registration entries changed while the certificate was on its way, or a holder was judged too long before asking
  // for it, or was refused: the holders are judged again.
  bool recheck = false;
  uint32_t failures = 0;  // attempts without a certificate since the last one that came

  // One lease. `held_back`: whether it may still have the key is not known, and until it is it gets nothing.
  struct Holding {
    KeyHolderPtr holder;
    bool held_back = false;
    uint64_t served = 0;  // generation of the certificate that it was given last; 0: none
  };
  absl::btree_map<uint64_t, Holding> holdings;  // by the lease's ticket
  // While nobody holds it: who held it last, without a listener. Null: nobody has.
  KeyHolderPtr last;
  // Instances that were given `current` and let it go: if its certificate is revoked, it ends theirs too. At most
  // kDepartedMax.
  absl::flat_hash_set<std::string> departed;
  static constexpr size_t kDepartedMax = 4096;

 private:
  friend class KeySchedule;
  absl::Duration timer_ = absl::InfiniteDuration();
  absl::Duration lingers_ = absl::InfiniteDuration();
  std::tuple<int, absl::Time, uint64_t> rank_{};
};
using HeldKeyPtr = std::shared_ptr<HeldKey>;

}  // namespace meshca::sds

#endif  // MESHCA_SDS_HELD_KEY_H_
