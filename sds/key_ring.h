// The private keys, with their certificates, that this process makes for its subscribers, in memory only. All callers
// on Unix sockets that have the same right to an identity share one key; over mTLS each instance has a key of its own.
#ifndef MESHCA_SDS_KEY_RING_H_
#define MESHCA_SDS_KEY_RING_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
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

// Whether `status` is the error that tells a holder that its certificate was revoked (reason CERTIFICATE_REVOKED).
bool IsRevocation(const absl::Status& status);

// A key is made when the first stream or fetch holds it, and renewed for as long as anybody does. Before each renewal
// the authenticator is asked again about every holder: one whose entry is gone is told so and leaves the key, and gets
// no further certificate; one whose rights changed goes over to the key of those that have the same (SharedKeyName).
// The certificate is asked for on behalf of one of the others. When nobody is left the key is dropped. A certificate
// that has ended, or was revoked, is handed to nobody.
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

  // Who holds a key, and on whose behalf it is made. The certificate of a shared key is recorded under the instance
  // kSharedKeyInstance, and under no node: it is that of all who share it.
  struct Owner {
    std::string instance;  // CallerDirectory::InstanceOf
    std::string node;      // node id of the stream's first request
    std::shared_ptr<const SdsCaller> caller;
    // True: the caller was authenticated for an earlier request, not for the one that names this key. It is then
    // authenticated again before it gets a key, whether that is made already or not.
    bool judged_long_ago = false;
  };

  // Whom a ring asks about revoked certificates, and whom it tells.
  struct Revocations {
    RevocationSource* source = nullptr;  // null: nothing is ever revoked
    // Called for each instance that held a key, or held it last, which was dropped because its certificate was revoked.
    // `until` is when the last certificate that the instance still has ends; InfinitePast: it has none left. No lock is
    // held.
    std::function<void(const std::string& instance, absl::Time until)> dropped;
  };

  // Holds one key until Release or destruction. Can be moved. While at least one lease holds it, a key is renewed.
  class Lease {
   public:
    Lease() = default;
    Lease(Lease&& other) noexcept { *this = std::move(other); }
    Lease& operator=(Lease&& other) noexcept;
    ~Lease() { Release(); }
    void Release();
    explicit operator bool() const { return ticket_ != 0; }

   private:
    friend class KeyRing;
    KeyRing* ring_ = nullptr;
    uint64_t ticket_ = 0;  // 0: holds nothing
  };

  // Works on the thread of `executor`. The executor is started after this constructor; it is shut down after Shutdown
  // and before the ring is destroyed. `clock` and `entropy` outlive the ring; `svids`, the source in `revocations` and
  // what `authenticate` uses live until the executor is shut down.
  KeyRing(KeyRingOptions options, SvidSource& svids, Authenticate authenticate, Revocations revocations,
          const JudgedClock& clock, EntropySource& entropy, SerialExecutor& executor);
  ~KeyRing();

  // Holds the key of `id` for `owner`, and from now on tells `listener` of each new one. `*current` becomes the present
  // key if it is valid and `owner` may have it at once; else null, and `listener` is told. The ring outlives the Lease.
  Lease Hold(Owner owner, const SpiffeId& id, Listener listener, SecretContent::Ptr* current);

  // Replaces at once every held key for which `chosen` is true; `serial` is its certificate's, in hex. Returns the
  // identities of these keys, one element for each key. `chosen` runs with a lock held: it must not call the ring.
  std::vector<SpiffeId> Renew(absl::FunctionRef<bool(const SpiffeId& id, absl::string_view serial)> chosen);

  // Replaces every held key whose certificate was signed by an authority for which `stale` is true
  // (Svid::authority_id). `per_second` is above 0.
  // Gives each a time at which it will be replaced: one key every 1/per_second seconds, the certificate that ends first
  // in front, none later than its renewal. A key that has a time already keeps it, so this may be called again and
  // again; new ones follow after the last. A key whose last attempt failed keeps the time of its next attempt. A stale
  // key that nobody holds is dropped, so nobody gets it again. Among the keys that wait for a certificate, reissues and
  // first certificates are served in order of arrival, after all renewals that are due.
  // Of those that have no time yet at most `most` are given one. Returns how many held keys are stale now. `stale` runs
  // with a lock held: it must not call the ring.
  uint64_t Reissue(absl::FunctionRef<bool(absl::string_view authority_id)> stale, double per_second,
                   size_t most = std::numeric_limits<size_t>::max());

  // A key in the ring, held or lingering. Serial and authority are of its certificate; "": it has none yet.
  struct KeyView {
    const SpiffeId& id;
    absl::string_view serial;        // hex
    absl::string_view authority_id;  // Svid::authority_id
  };
  // Visits all keys, in any order. `visit` runs with a lock held: it must not call the ring.
  void VisitKeys(absl::FunctionRef<void(const KeyView&)> visit) const;

  // To be called when rights may have changed: asks the authenticator about every holder. One that may not have its key
  // any more is told so (a final error) and holds it no longer; a key that nobody is left to hold is dropped, and so is
  // one that nobody holds and whose last holder may not have it any more. Whose rights changed otherwise keeps the key
  // until its renewal.
  void Recheck();

  // To be called when certificates were revoked: asks the RevocationSource about the certificate of every key, and
  // drops the keys of those that were revoked, so that nobody gets them again and nothing is renewed from them. Their
  // holders are told PermissionDenied (reason CERTIFICATE_REVOKED). A caller that asks again and may hold the identity
  // gets a new key with a first certificate. A certificate on its way is asked about before anybody gets it. Where the
  // source cannot answer, it is asked again at each tick of the executor. Returns how many keys were dropped. May
  // block, as the source does; any thread.
  uint64_t DropRevoked();

  KeyRingStats Stats() const;

  // Begins nothing more, waits for the attempts under way, and tells Unavailable to the listeners of keys that have no
  // certificate yet. Leases may be released afterwards. Idempotent; not to be called on the executor's thread.
  void Shutdown();

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace meshca::sds

#endif  // MESHCA_SDS_KEY_RING_H_
