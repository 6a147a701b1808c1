// The keys that this process makes for its subscribers: one for each identity of each instance, in memory only.
#ifndef MESHCA_SDS_KEY_RING_H_
#define MESHCA_SDS_KEY_RING_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/authn/authenticator.h"
#include "ca/base/entropy.h"
#include "ca/base/judged_clock.h"
#include "ca/spiffe/spiffe_id.h"
#include "ca/x509/public_key.h"
#include "sds/caller.h"
#include "sds/revocation_source.h"
#include "sds/secret_snapshot.h"
#include "sds/svid_source.h"

namespace meshca::sds {

struct KeyRingOptions {
  KeyType key_type = KeyType::kEcP256;
  // Renewal is due at this part of a certificate's life, give or take a tenth of it.
  double renew_at = 0.5;
  // A key nobody holds is kept this long, so that a proxy that reconnects gets the one it had.
  absl::Duration linger = absl::Minutes(5);
  size_t lingering_max = 4096;
  // Issuances under way; more wait here, the ones that expire first at the front, instead of filling the pipeline.
  size_t in_flight_max = 256;
  // Between attempts: doubled each time, with jitter, never more than an eighth of the time left.
  absl::Duration retry_first = absl::Seconds(1);
  absl::Duration retry_max = absl::Minutes(2);
};

// Is this how a holder hears that its certificate was revoked?
bool IsRevocation(const absl::Status& status);

struct KeyRingStats {
  uint64_t keys = 0;  // in memory now
  uint64_t waiting = 0;
  uint64_t in_flight = 0;
  uint64_t issued = 0;
  uint64_t renewed = 0;
  uint64_t failed = 0;  // attempts
};

// Renews at `renew_at` with jitter for as long as somebody holds the key; asks the authenticator again before each
// renewal, so a caller whose entry is gone gets no further certificate. What ended or will not be renewed is never
// handed out. Its timers run on the boot clock. While the wall clock is behind, or has just jumped, nothing is renewed
// by it; when it was set, renewals are timed anew, and a key whose certificate is not valid then is replaced at once.
// One thread of its own makes keys, submits and assembles, so neither loops nor the store's writer do. Thread-safe.
class KeyRing final {
 public:
  using Authenticate = std::function<void(const rpc::Peer& peer, Authenticator::Done)>;

  // A new key, or why there is none. PermissionDenied, Unauthenticated and InvalidArgument are final: nothing follows.
  // Any other error is told only while there is no valid key, and tried again.
  // Runs on the ring's thread with no lock held; may run once more while its Lease ends on another thread.
  using Listener = std::function<void(const absl::StatusOr<SecretContent::Ptr>&)>;

  struct Owner {
    std::string instance;
    std::string node;
    std::shared_ptr<const SdsCaller> caller;
    // The caller was authenticated for an earlier request: it is asked again before a key is made.
    bool judged_long_ago = false;
  };

  // What a ring asks about revoked certificates, and whom it tells.
  struct Revocations {
    RevocationSource* source = nullptr;
    // A key of `instance` was dropped because its certificate was revoked; those it has left end at `until`, in the
    // infinite past where there is none.
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

  // `clock` and `entropy` outlive the ring; `svids`, and what `authenticate` leads to, live until Shutdown returned.
  KeyRing(KeyRingOptions options, SvidSource& svids, Authenticate authenticate, const JudgedClock& clock,
          EntropySource& entropy);
  ~KeyRing();

  void Start();

  // Holds the key of `id` for the instance `owner`, and tells `listener` of each new one. `current` gets the valid key
  // there is, or null, and then one is being made. The ring outlives the Lease.
  Lease Hold(Owner owner, const SpiffeId& id, Listener listener, SecretContent::Ptr* current);

  // New keys at once for every held one that `chosen` picks, by its identity and its certificate's serial (hex);
  // returns whose, one element a key.
  std::vector<SpiffeId> Renew(absl::FunctionRef<bool(const SpiffeId& id, absl::string_view serial)> chosen);

  // Replaces every held key whose certificate was signed by an authority that `stale` picks (Svid::authority_id).
  // Gives each a time at which it will be replaced: one key every 1/per_second seconds, the certificate that ends first
  // in front, none later than its renewal. A key that has a time already keeps it, so this may be called again and
  // again; new ones follow after the last. One whose last attempt failed keeps the time of its next attempt. A key that
  // nobody holds is dropped if `stale` picks it, so nobody gets it again. In the queue of what waits for a certificate,
  // these keys and first certificates take turns as they come; a renewal that is due goes before both.
  // Returns how many held keys `stale` picks now. It is asked with a lock held: it must not call the ring.
  uint64_t Reissue(absl::FunctionRef<bool(absl::string_view authority_id)> stale, double per_second);

  // Asks the authenticator again about every owner, now. Who may not hold its key any more is told so (a final error).
  void Recheck();

  // Before Start. Without a source nothing is taken for revoked.
  void WatchRevocations(Revocations revocations);
  // Certificates were revoked: drops every key whose certificate is among them, so that nobody gets it again and no
  // renewal follows. Whoever holds one is told so (PermissionDenied, CERTIFICATE_REVOKED); who asks again gets a key of
  // a new line, as long as it may hold the identity. Keys under way are judged when they come. Returns how many were
  // dropped; what cannot be judged now is judged again at each tick. Blocks on the database; any thread.
  uint64_t DropRevoked();

  // Looks at the clock now instead of within a second: after a jump of the clock, in tests.
  void Wake();

  // Runs on the ring's thread at least every five seconds. Before Start.
  void OnTick(std::function<void()> tick);
  // Runs `work`, which may block on the database, on the ring's thread; at once after Shutdown.
  void Run(absl::AnyInvocable<void() &&> work);

  KeyRingStats Stats() const;

  // Waits for what is under way and ends the thread. Leases may still be released afterwards. Idempotent.
  void Shutdown();

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace meshca::sds

#endif  // MESHCA_SDS_KEY_RING_H_
