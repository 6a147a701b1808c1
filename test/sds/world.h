// A CA in miniature for SDS tests: trust that a test changes, an issuer that a test holds back or breaks, callers by
// uid, and proxies that speak either protocol.
#ifndef MESHCA_TEST_SDS_WORLD_H_
#define MESHCA_TEST_SDS_WORLD_H_

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "ca/rpc/payload.h"
#include "ca/x509/certificate.h"
#include "cli/server/inventory_certificates.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "envoy/service/discovery/v3/discovery.pb.h"
#include "sds/revocation_source.h"
#include "sds/secret_hub.h"
#include "sds/svid_source.h"
#include "sds/trust_source.h"
#include "test/fakes/counting_entropy.h"
#include "test/fakes/fake_clock.h"
#include "test/fakes/memory_store.h"
#include "test/sds/fake_edge.h"

namespace meshca::sds {

using envoy::extensions::transport_sockets::tls::v3::Secret;
using envoy::service::discovery::v3::DeltaDiscoveryRequest;
using envoy::service::discovery::v3::DeltaDiscoveryResponse;
using envoy::service::discovery::v3::DiscoveryRequest;
using envoy::service::discovery::v3::DiscoveryResponse;

inline constexpr Protocol kState = Protocol::kStateOfTheWorld;
inline constexpr Protocol kDelta = Protocol::kDelta;

class World;

TrustDomain Domain(absl::string_view name);
SpiffeId Id(absl::string_view uri);
// Two different roots of td.test.
const Certificate& RootA();
const Certificate& RootB();

class FakeTrust final : public TrustSource {
 public:
  std::shared_ptr<const Trust> Current() const override;
  void AddListener(Listener listener) override;
  // td.test with these roots, under the version after the last one.
  void Publish(std::vector<Certificate> roots);
  // The same version once more: what a new issuing authority leads to.
  void PublishAgain();
  void Publish(std::shared_ptr<const Trust> trust);

 private:
  mutable Mutex mutex_;
  std::shared_ptr<const Trust> current_ ABSL_GUARDED_BY(mutex_);
  std::vector<Listener> listeners_ ABSL_GUARDED_BY(mutex_);
};

// Callers by uid; a client certificate is its own SPIFFE ID.
class FakeAuthenticator final : public Authenticator {
 public:
  absl::string_view name() const override { return "fake"; }
  bool Recognises(const Credentials&) const override { return true; }
  void Authenticate(Credentials credentials, absl::Time now, Done done) override;
  void Set(uint32_t uid, absl::StatusOr<CallerIdentity> caller);
  void RefuseCertificates(absl::Status why);
  int asked() const;

 private:
  mutable Mutex mutex_;
  std::map<uint32_t, absl::StatusOr<CallerIdentity>> callers_;
  absl::Status certificates_;
  int asked_ = 0;
};

// What a FakeIssuer was asked for.
struct AskedSvid {
  SpiffeId id;
  CallerIdentity caller;
  PublicKey public_key;
};

class FakeIssuer final : public SvidSource {
 public:
  explicit FakeIssuer(World& world) : world_(world) {}
  void Obtain(SvidRequest request, const SigningKey& key, Done done) override;

  void FailWith(absl::Status why);  // Ok: heals
  // What is asked for on behalf of this CallerIdentity::subject.
  void RefuseFor(const std::string& subject, absl::Status why);
  void HoldBack(bool hold);  // Release() answers what was held
  void Release();
  // Svid::authority_id from now on.
  void SignWith(std::string authority_id);
  // Of the certificates made from now on.
  void SetLifetime(absl::Duration lifetime);

  size_t submitted() const;
  std::vector<AskedSvid> requests() const;  // in order

 private:
  friend class World;
  Svid Make();
  World& world_;
  mutable Mutex mutex_;
  absl::Status why_;
  std::string authority_id_ = "issuing-old";
  absl::Duration lifetime_ = absl::Hours(24);
  bool hold_ = false;
  std::map<std::string, absl::Status> refused_;  // by subject
  std::vector<std::pair<absl::Status, Done>> held_;
  std::vector<AskedSvid> requests_;
};

// Knows as revoked what a test says.
class FakeRevocations final : public RevocationSource {
 public:
  absl::StatusOr<bool> IsRevoked(absl::string_view serial) override;
  void Revoke(const std::string& serial);
  void RevokeEverything();
  // What it answers instead, until Ok.
  void FailWith(absl::Status why);
  int asked() const;

 private:
  mutable Mutex mutex_;
  std::set<std::string, std::less<>> revoked_ ABSL_GUARDED_BY(mutex_);
  bool all_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status why_ ABSL_GUARDED_BY(mutex_);
  int asked_ ABSL_GUARDED_BY(mutex_) = 0;
};

class World {
 public:
  // uid 1000 holds spiffe://td.test/web and /api, uid 0 is an operator without an ID of its own, uid 2000 holds
  // nothing.
  // `advice`: of the host whose socket it is.
  explicit World(KeyRingOptions keys = {}, EntryAdvice advice = {});
  ~World();

  std::shared_ptr<const rpc::Peer> UnixPeer(uint32_t uid, int pid = 4242);
  // A verified mTLS peer with a certificate of that ID, which `store` has a record of: a renewal of `parent_serial`.
  std::shared_ptr<const rpc::Peer> TlsPeer(const SpiffeId& id, const std::string& parent_serial = "");
  // The same without a record: who stole the authority's key can make it.
  std::shared_ptr<const rpc::Peer> ForgedTlsPeer(const SpiffeId& id);
  void Wake() { hub->executor().Wake(); }
  // So many streams of this uid, each an instance of its own, that there is no room for one more. Takes a while of the
  // clock's time, because new ones come at a pace.
  std::vector<SubscriberRegistry::Member> FillRoomOf(uint32_t uid);
  // Runs the loop until `done`; fails the test when it does not come.
  void Until(const std::function<bool()>& done, absl::string_view what);

  FakeClock clock;
  CountingEntropy entropy;
  MemoryStore store;
  cli::InventoryCertificates certificates{store};
  FakeRevocations revocations;  // the ring is not told of a change
  FakeTrust trust;
  FakeAuthenticator authenticator;
  FakeIssuer issuer{*this};
  FakeLoop loop;
  std::unique_ptr<SubscriberRegistry> registry;
  std::unique_ptr<SecretHub> hub;

 private:
  uint64_t connections_ = 0;
};

// A proxy at the other end of one stream.
class Proxy {
 public:
  Proxy(World& world, std::shared_ptr<const rpc::Peer> peer, Protocol protocol);

  // A request with these names; the nonce of `Ack` and `Nack` is that of the last response unless given.
  void Ask(std::vector<std::string> names, absl::string_view nonce = "");
  void Ack();
  void AckNonce(absl::string_view nonce);
  void Nack(absl::string_view what, absl::string_view nonce = "");
  void Unsubscribe(std::vector<std::string> names);  // delta
  void Send(const google::protobuf::MessageLite& request);
  void SendBytes(absl::string_view bytes);

  // Waits for response number `count` (from 1) and returns it.
  const DiscoveryResponse& Await(size_t count);  // state of the world
  const DeltaDiscoveryResponse& AwaitDelta(size_t count);
  absl::Status AwaitEnd();
  // Responses so far, once everything posted has run and the key ring has nothing to do.
  size_t Settled();

  FakeStream& stream() { return *stream_; }
  std::string node = "node-1";

 private:
  size_t Count() const { return stream_->sent.size(); }

  World& world_;
  const Protocol protocol_;
  std::unique_ptr<FakeStream> stream_;
  bool first_ = true;
  std::vector<std::string> names_;
  std::string version_;
  std::string last_nonce_;
  std::vector<std::unique_ptr<DiscoveryResponse>> state_;
  std::vector<std::unique_ptr<DeltaDiscoveryResponse>> delta_;
};

// The resource `name` of a response; fails the test and returns an empty one when it is not there.
Secret SecretIn(const DiscoveryResponse& response, absl::string_view name);
Secret SecretIn(const DeltaDiscoveryResponse& response, absl::string_view name);
std::vector<std::string> NamesIn(const DiscoveryResponse& response);
std::vector<std::string> NamesIn(const DeltaDiscoveryResponse& response);

}  // namespace meshca::sds

#endif  // MESHCA_TEST_SDS_WORLD_H_
