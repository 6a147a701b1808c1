// The parts that serve every stream and fetch, built once in a process.
#ifndef MESHCA_SDS_SECRET_HUB_H_
#define MESHCA_SDS_SECRET_HUB_H_

#include "absl/time/time.h"
#include "ca/authn/authenticator.h"
#include "ca/base/entropy.h"
#include "ca/base/judged_clock.h"
#include "ca/base/serial_executor.h"
#include "ca/identity/entry_advice.h"
#include "ca/spiffe/trust_domain.h"
#include "ca/subscribers/subscriber_registry.h"
#include "sds/bundle_publisher.h"
#include "sds/caller_certificates.h"
#include "sds/caller_directory.h"
#include "sds/key_ring.h"
#include "sds/svid_source.h"
#include "sds/trust_source.h"

namespace meshca::sds {

// Owns the BundlePublisher, the CallerDirectory, the KeyRing, and the one thread (SerialExecutor) on which these and
// the registry do whatever may block or is due by time. It decides nothing itself. Thread-safe.
class SecretHub {
 public:
  struct Parts {
    TrustDomain trust_domain;  // our own
    TrustSource* trust;
    Authenticator* authenticator;  // for peer credentials and client certificates
    CallerCertificates* certificates;
    SvidSource* svids;
    KeyRing::Revocations revocations;
    SubscriberRegistry* registry;
    const JudgedClock* clock;
    EntropySource* entropy;
    KeyRingOptions keys;
    EntryAdvice entry_advice = {};  // of this host
  };

  // What `parts` points at lives until Shutdown returned and the last stream closed; `clock`, `entropy` outlive the
  // hub.
  explicit SecretHub(const Parts& parts);
  ~SecretHub();

  // Begins to listen to the source of trust, to make keys, and to tick the registry.
  void Start();
  // Waits for the keys that are being made, tells Unavailable to streams that still wait for one, and ends the thread.
  // Idempotent.
  void Shutdown();

  const TrustDomain& trust_domain() const { return trust_domain_; }
  // What a caller on this host is told of the entry that it lacks.
  const EntryAdvice& entry_advice() const { return entry_advice_; }
  // The time that decides whether a certificate has ended and must not be sent. A clock that jumps does not move it.
  absl::Time LikelyNow() const { return clock_.LikelyNow(); }
  BundlePublisher& bundles() { return bundles_; }
  CallerDirectory& callers() { return callers_; }
  KeyRing& keys() { return keys_; }
  SubscriberRegistry& registry() { return registry_; }
  SerialExecutor& executor() { return executor_; }

 private:
  const TrustDomain trust_domain_;
  const EntryAdvice entry_advice_;
  const JudgedClock& clock_;
  SubscriberRegistry& registry_;
  SerialExecutor executor_;
  BundlePublisher bundles_;
  CallerDirectory callers_;
  KeyRing keys_;
};

}  // namespace meshca::sds

#endif  // MESHCA_SDS_SECRET_HUB_H_
