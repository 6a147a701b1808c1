// Who gets what: the one place where callers, authorities, keys and streams meet.
#ifndef MESHCA_SDS_SECRET_HUB_H_
#define MESHCA_SDS_SECRET_HUB_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/authn/authenticator.h"
#include "ca/base/entropy.h"
#include "ca/base/judged_clock.h"
#include "ca/base/mutex.h"
#include "ca/rpc/stream.h"
#include "ca/spiffe/trust_domain.h"
#include "ca/subscribers/subscriber_registry.h"
#include "ca/subscribers/trust_version.h"
#include "sds/caller.h"
#include "sds/caller_certificates.h"
#include "sds/evictable_stream.h"
#include "sds/key_ring.h"
#include "sds/secret_name.h"
#include "sds/secret_snapshot.h"
#include "sds/svid_source.h"
#include "sds/trust_source.h"

namespace meshca::sds {

// The trust that is served at one moment. Immutable; shared by every thread.
struct BundleSecrets {
  TrustVersion version = 0;
  TrustDomain own;
  std::shared_ptr<const SecretSnapshot> root_ca;  // `ROOTCA`
  std::shared_ptr<const SecretSnapshot> domain;   // `spiffe://td`
  std::shared_ptr<const SecretSnapshot> all;      // `ALL`

  // kBundle and kAllBundles. Never null.
  std::shared_ptr<const SecretSnapshot> Find(const ResolvedName& name) const;
  // Is it one of the three above, which are kept anyway?
  bool IsShared(const SecretSnapshot& snapshot) const {
    return &snapshot == root_ca.get() || &snapshot == domain.get() || &snapshot == all.get();
  }
};

// A stream that the hub tells of new bundles.
class BundleWatcher : public EvictableStream {
 public:
  // Loop thread.
  virtual void OnBundles(const std::shared_ptr<const BundleSecrets>& bundles) = 0;

 private:
  friend class SecretHub;
  static constexpr size_t kNotWatching = ~size_t{0};
  size_t watch_index_ = kNotWatching;  // guarded by the hub's mutex
};

// Thread-safe. A change of the bundle reaches every watching stream by one wake-up a loop, with bytes serialised once.
class SecretHub {
 public:
  using CallerDone = absl::AnyInvocable<void(absl::StatusOr<std::shared_ptr<const SdsCaller>>) &&>;

  struct Parts {
    TrustDomain trust_domain;
    TrustSource* trust;
    Authenticator* authenticator;  // for peer credentials and client certificates
    CallerCertificates* certificates;
    SubscriberRegistry* registry;
    SvidSource* svids;
    const JudgedClock* clock;
    EntropySource* entropy;
    KeyRingOptions keys;
  };

  // Everything in `parts` but `entropy` lives until Shutdown has returned and the last stream has closed.
  explicit SecretHub(Parts parts);
  ~SecretHub();

  // Listens to the source of trust and starts the key ring.
  void Start();
  void Shutdown();

  // `node` is the node id of the stream's first request. `done` runs once, on any thread, perhaps before this returns.
  // Of a TLS peer CallerCertificates is asked first, on the ring's thread. Errors: the authenticators',
  // PeerCredentials' and CallerCertificates::Judge's.
  void Authenticate(std::shared_ptr<const rpc::Peer> peer, std::string node, CallerDone done);

  // The instance that a stream or a fetch of `caller` with this node id belongs to. Of the record: instance, spiffe_id,
  // node, kind and peer. `asked` is the first SPIFFE ID it names: who the caller is where it has no ID of its own.
  SubscriberRecord InstanceOf(const SdsCaller& caller, Taking taking, absl::string_view node,
                              const SpiffeId& asked) const;

  // `watcher`, reached by `handle`, hears of every change of the bundle after the one returned. Loop thread;
  // idempotent. Null: the CA has not started.
  std::shared_ptr<const BundleSecrets> Watch(BundleWatcher& watcher, const rpc::StreamHandle& handle);
  void Unwatch(BundleWatcher& watcher);
  // The bundles of the moment, without watching; null as above.
  std::shared_ptr<const BundleSecrets> Bundles() const;

  const TrustDomain& trust_domain() const { return parts_.trust_domain; }
  absl::Time Now() const { return parts_.clock->Now(); }
  // For what is handed out: a clock that has just jumped makes nothing old.
  absl::Time LikelyNow() const { return parts_.clock->LikelyNow(); }
  KeyRing& keys() { return keys_; }
  SubscriberRegistry& registry() { return *parts_.registry; }

 private:
  void Publish(const Trust& trust);
  // `caller`, or the same caller as an earlier stream of its connection has it: hundreds of streams of one connection
  // hold it once.
  std::shared_ptr<const SdsCaller> Shared(std::shared_ptr<const SdsCaller> caller);
  // Of the client certificate that the caller showed. Blocks on the database.
  absl::StatusOr<CertificateAncestry> AncestryOf(const CallerIdentity& caller);
  // SdsCaller::lineage; `own` is the certificate's. Blocks on the database.
  std::string Lineage(const SdsCaller& caller, const CertificateAncestry& own, absl::string_view node);

  const Parts parts_;
  KeyRing keys_;

  mutable Mutex mutex_;
  std::shared_ptr<const BundleSecrets> bundles_ ABSL_GUARDED_BY(mutex_);
  std::vector<BundleWatcher*> watchers_ ABSL_GUARDED_BY(mutex_);
  std::vector<rpc::StreamHandle> handles_ ABSL_GUARDED_BY(mutex_);  // beside watchers_
  // By the connection's number, the latest that came to each place.
  std::array<std::weak_ptr<const SdsCaller>, 64> recent_callers_ ABSL_GUARDED_BY(mutex_);
  // Serial of a renewed client certificate -> the lineage it was found to have: the next renewal finds it in one step.
  absl::flat_hash_map<std::string, std::string> lineages_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace meshca::sds

#endif  // MESHCA_SDS_SECRET_HUB_H_
