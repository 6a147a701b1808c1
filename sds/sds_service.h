// envoy.service.secret.v3.SecretDiscoveryService: StreamSecrets, DeltaSecrets and FetchSecrets.
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
#include "ca/rpc/router.h"
#include "ca/spiffe/spiffe_id.h"
#include "ca/spiffe/trust_domain.h"
#include "ca/subscribers/subscriber_registry.h"
#include "ca/subscribers/subscriber_store.h"
#include "sds/caller_certificates.h"
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

// The whole of SDS behind one object. Thread-safe after Start. Ends in this order: rpc::Server, then Shutdown, then the
// sources and the store, then this object.
class SdsService {
 public:
  // Everything pointed at outlives Shutdown; `clock` and `entropy` the object.
  struct Parts {
    TrustDomain trust_domain;
    TrustSource* trust = nullptr;
    Authenticator* authenticator = nullptr;  // knows Unix peers and client certificates; tokens are not asked for
    SvidSource* svids = nullptr;
    CallerCertificates* certificates = nullptr;
    RevocationSource* revocations = nullptr;  // null: nothing is ever revoked
    SubscriberStore* subscribers = nullptr;
    const JudgedClock* clock = nullptr;
    EntropySource* entropy = nullptr;
    absl::Duration leaf_lifetime = absl::Hours(24);  // the profile's default
    InstanceRoom::Limits room;
    KeyRingOptions keys;
  };
  explicit SdsService(Parts parts);
  ~SdsService();

  // Reads what the last run's subscribers acknowledged and begins. Before the CA serves, after it has started.
  // Errors: the store's.
  absl::Status Start();
  void Shutdown();

  // Adds the three methods. For the routers of the API and the admin socket; for that of the gRPC port only where SDS
  // over mTLS is switched on. A caller in plain text, or over TLS without a certificate, is Unauthenticated wherever it
  // comes in.
  void AddTo(rpc::Router& router);

  // KeyRing::Renew.
  std::vector<SpiffeId> Renew(absl::FunctionRef<bool(const SpiffeId& id, absl::string_view serial)> chosen);

  // The keys that subscribers hold: for whoever replaces those under a root that goes.
  KeyRing& keys();

  // Registration entries changed: KeyRing::Recheck. The streams of whoever may hold its key no more end with
  // PermissionDenied; its proxy asks anew and gets what it may have now.
  void EntriesChanged();

  // Certificates were revoked: KeyRing::DropRevoked. The streams that hold one of them end, and a subscriber that left
  // with one holds no rotation up. May block.
  uint64_t DropRevoked();

  // SubscriberRegistry::Evict. Blocks on the database.
  absl::StatusOr<SubscriberRegistry::Evicted> Evict(absl::FunctionRef<bool(const SubscriberRecord&)> chosen);

  // List, Find; what a rotation takes for evidence.
  const SubscriberRegistry& subscribers() const;
  SdsStats Stats() const;

  // Looks at the clock at once: after it jumped, in tests.
  void Wake();

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace meshca::sds

#endif  // MESHCA_SDS_SDS_SERVICE_H_
