// The keys that this process makes for its subscribers: one for each identity of each instance, in memory only.
#ifndef MESHCA_SDS_KEY_RING_H_
#define MESHCA_SDS_KEY_RING_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/authn/authenticator.h"
#include "ca/base/entropy.h"
#include "ca/base/judged_clock.h"
#include "ca/base/serial_executor.h"
#include "ca/spiffe/spiffe_id.h"
#include "sds/caller.h"
#include "sds/key_ring_options.h"
#include "sds/revocation_source.h"
#include "sds/secret_snapshot.h"
#include "sds/svid_source.h"

namespace meshca::sds {

// Whether this is the error by which a holder hears that its certificate was revoked.
bool IsRevocation(const absl::Status& status);

// A key is made when the first stream or fetch of its instance holds it, and renewed for as long as anybody does.
// Before each renewal the authenticator is asked again: a caller whose entry is gone gets no further certificate. A
// certificate that has ended, or was revoked, is handed to nobody.
//
// Timers run on the boot clock. While the wall clock is behind, or has just jumped, no certificate is renewed because
// the wall clock says that it is time. When the wall clock was set, every renewal is timed anew, and a key whose
// certificate is not valid by the new time is replaced at once.
//
// Keys are made, certificates asked for and secrets assembled on the executor's thread: neither a loop nor the thread
// of the store waits for that. Thread-safe.
class KeyRing final {
 public:
  using Authenticate = std::function<void(const rpc::Peer& peer, Authenticator::Done)>;

  // Is told each new key, or why there is none. PermissionDenied, Unauthenticated and InvalidArgument are final:
  // nothing follows. Any other error is told only while there is no valid key, and the ring tries again by itself. Runs
  // on the executor's thread with no lock held; may run once more while its Lease ends on another thread.
  using Listener = std::function<void(const absl::StatusOr<SecretContent::Ptr>&)>;

  // Who holds a key.
  struct Owner {
    std::string instance;  // CallerDirectory::InstanceOf
    std::string node;
    std::shared_ptr<const SdsCaller> caller;
    // The caller was judged for an earlier request than the one that names this key: before a key is made it is judged
    // again.
    bool judged_long_ago = false;
  };

  // Whom a ring asks about revoked certificates, and whom it tells.
  struct Revocations {
    RevocationSource* source = nullptr;  // null: nothing is ever revoked
    // Told when a key of `instance` was dropped because its certificate was revoked. The last of the certificates that
    // the instance has left ends at `until`; in the infinite past where it has none left.
    std::function<void(const std::string& instance, absl::Time until)> dropped;
  };

  // Holds a key for as long as it lives. Moves.
  class Lease {
   public:
    Lease() = default;
    Lease(Lease&& other) noexcept { *this = std::move(other); }
    Lease& operator=(Lease&& other) noexcept;
    ~Lease() { Release(); }
    void Release();
    explicit operator bool() const { return key_ != nullptr; }

   private:
    friend class KeyRing;
    std::shared_ptr<void> key_;
    KeyRing* ring_ = nullptr;
    uint64_t ticket_ = 0;
  };

  // Works on the thread of `executor`, which has not started yet and is shut down between Shutdown and the end of the
  // ring. `clock` and `entropy` outlive the ring; `svids`, `revocations`, and what `authenticate` leads to, live until
  // the executor is shut down.
  KeyRing(KeyRingOptions options, SvidSource& svids, Authenticate authenticate, Revocations revocations,
          const JudgedClock& clock, EntropySource& entropy, SerialExecutor& executor);
  ~KeyRing();

  // Holds the key of `id` for `owner`, and from now on tells `listener` of each new one. `current` becomes the valid
  // key that is there; null where there is none, and then one is being made. The ring outlives the Lease.
  Lease Hold(Owner owner, const SpiffeId& id, Listener listener, SecretContent::Ptr* current);

  // Replaces at once every held key that `chosen` picks; `serial` is its certificate's, in hex. Returns the identities
  // of these keys, one element a key. `chosen` is asked with a lock held: it must not call the ring.
  std::vector<SpiffeId> Renew(absl::FunctionRef<bool(const SpiffeId& id, absl::string_view serial)> chosen);

  // Replaces every held key whose certificate was signed by an authority that `stale` picks (Svid::authority_id).
  // Gives each a time at which it will be replaced: one key every 1/per_second seconds, the certificate that ends first
  // in front, none later than its renewal. A key that has a time already keeps it, so this may be called again and
  // again; new ones follow after the last. One whose last attempt failed keeps the time of its next attempt. A key that
  // nobody holds is dropped if `stale` picks it, so nobody gets it again. In the queue of what waits for a certificate,
  // these keys and first certificates take turns as they come; a renewal that is due goes before both.
  // Returns how many held keys `stale` picks now. It is asked with a lock held: it must not call the ring.
  uint64_t Reissue(absl::FunctionRef<bool(absl::string_view authority_id)> stale, double per_second);

  // Rights may have changed: asks the authenticator now about the owner of every key. The holders of a key that its
  // owner may not have any more are told so, as a final error.
  void Recheck();

  // Certificates were revoked: asks the RevocationSource about each, and drops every key whose certificate is among
  // them, so that nobody gets it again and no renewal follows from it. Its holders are told PermissionDenied (reason
  // CERTIFICATE_REVOKED). Whoever asks again and may hold the identity gets a key whose certificate renews none. A
  // certificate that is on its way is judged when it comes, before anybody gets it; one that cannot be judged now is
  // judged again at each tick. Returns how many keys were dropped. May block, as the source does; from any thread.
  uint64_t DropRevoked();

  KeyRingStats Stats() const;

  // Begins nothing more, waits for what is under way, and tells who still waits for a key that none comes. Leases may
  // be released afterwards. Idempotent; not from the executor's thread.
  void Shutdown();

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace meshca::sds

#endif  // MESHCA_SDS_KEY_RING_H_
