// envoy.service.secret.v3.SecretDiscoveryService: StreamSecrets, DeltaSecrets and FetchSecrets; and, beside it, the
// SPIFFE Workload API, which serves the same keys and bundles.
#ifndef MESHCA_SDS_SDS_SERVICE_H_
#define MESHCA_SDS_SDS_SERVICE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/authn/authenticator.h"
#include "ca/base/entropy.h"
#include "ca/base/judged_clock.h"
#include "ca/identity/entry_advice.h"
#include "ca/rpc/router.h"
#include "ca/spiffe/spiffe_id.h"
#include "ca/spiffe/trust_domain.h"
#include "ca/subscribers/subscriber_registry.h"
#include "ca/subscribers/subscriber_store.h"
#include "sds/caller_certificates.h"
#include "sds/jwt_source.h"
#include "sds/key_ring.h"
#include "sds/revocation_source.h"
#include "sds/svid_source.h"
#include "sds/trust_source.h"

namespace meshca::sds {

inline constexpr absl::string_view kSdsServiceName = "envoy.service.secret.v3.SecretDiscoveryService";

struct SdsStats {
  SubscriberStats subscribers;
  KeyRingStats keys;
  uint64_t responses_serialised = 0;
};

// The whole of SDS, and the Workload API, behind one object. Thread-safe after Start. To end it: stop the rpc::Server,
// call Shutdown, destroy the sources and the store, destroy this object.
class SdsService {
 public:
  // Everything pointed at lives until Shutdown has returned; `clock` and `entropy` outlive this object.
  struct Parts {
    TrustDomain trust_domain;
    TrustSource* trust = nullptr;
    Authenticator* authenticator = nullptr;  // for Unix peers and client certificates; it is never given a token
    SvidSource* svids = nullptr;
    CallerCertificates* certificates = nullptr;
    RevocationSource* revocations = nullptr;  // null: nothing is ever revoked
    JwtSource* jwt = nullptr;                 // null: FetchJWTSVID answers Unavailable
    SubscriberStore* subscribers = nullptr;
    const JudgedClock* clock = nullptr;
    EntropySource* entropy = nullptr;
    absl::Duration leaf_lifetime = absl::Hours(24);  // the profile's default
    InstanceRoom::Limits room;
    // How long a Workload API stream stays open until what was written to it counts as delivered.
    absl::Duration delivered_after = absl::Minutes(1);
    KeyRingOptions keys;
    EntryAdvice entry_advice = {};  // of the host whose socket it is served on
    // Tells when a subscriber's process has ended. Null: the kernel is asked.
    ProcessWatch* processes = nullptr;
  };
  explicit SdsService(Parts parts);
  ~SdsService();

  // Reads what subscribers of the last run acknowledged, and begins. Called after the CA has started and before it
  // serves. Errors: the store's.
  absl::Status Start();
  void Shutdown();

  // Adds the three methods to `router`: that of the API socket, of the admin socket, and of the gRPC port where SDS
  // over mTLS is switched on. On every one of them a caller in plain text, or over TLS without a client certificate, is
  // Unauthenticated.
  void AddTo(rpc::Router& router);
  // Adds the five methods of the SPIFFE Workload API to `router`: that of the API socket and of the admin socket, where
  // an operator has the identities that entries give it and no other.
  void AddWorkloadApiTo(rpc::Router& router);

  // See KeyRing::Renew.
  std::vector<SpiffeId> Renew(absl::FunctionRef<bool(const SpiffeId& id, absl::string_view serial)> chosen);

  // The keys that subscribers hold. A root rotation replaces them (KeyRing::Reissue).
  KeyRing& keys();

  // To be called when registration entries changed. Asks again who may hold which key (KeyRing::Recheck). A stream that
  // has nothing left that its caller may hold ends with PermissionDenied; one of the Workload API also carries from now
  // on what its caller may have since.
  void EntriesChanged();

  // To be called when certificates were revoked (KeyRing::DropRevoked); returns how many keys were dropped. Streams
  // that hold one of them end, and no rotation waits for a subscriber that left with one. May block on the database.
  uint64_t DropRevoked();

  // See SubscriberRegistry::Evict. Blocks on the database.
  absl::StatusOr<SubscriberRegistry::Evicted> Evict(absl::FunctionRef<bool(const SubscriberRecord&)> chosen);

  // See SubscriberRegistry::SetDeliveredAfter.
  void SetDeliveredAfter(absl::Duration delivered_after);

  // The instances and what each of them holds; a rotation takes it for evidence.
  const SubscriberRegistry& subscribers() const;
  SdsStats Stats() const;

  // For tests: runs at once what depends on the clock, after the test moved the clock.
  void Wake();

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace meshca::sds

#endif  // MESHCA_SDS_SDS_SERVICE_H_
