// The streams of the SPIFFE Workload API: what is in a message, when the next one comes, and how a stream ends.
#include "sds/workload_stream.h"

#include <openssl/x509.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "ca/base/openssl_ptr.h"
#include "ca/base/status.h"
#include "ca/jwt/jwks.h"
#include "ca/rpc/protobuf_payload.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "spiffe/workload/workload.pb.h"
#include "test/sds/world.h"

namespace meshca::sds {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

enum class Method { kX509Svid, kX509Bundles, kJwtBundles };

// A workload at the other end of one stream.
class Workload {
 public:
  Workload(World& world, WorkloadResponses& responses, std::shared_ptr<const rpc::Peer> peer,
           Method method = Method::kX509Svid)
      : world_(world), stream_(std::make_unique<FakeStream>(world.loop, std::move(peer))) {
    if (method == Method::kX509Svid) {
      stream_->Attach(std::make_unique<X509SvidStream>(*stream_, *world.hub, responses));
    } else {
      stream_->Attach(std::make_unique<WorkloadBundleStream>(
          *stream_, *world.hub,
          method == Method::kX509Bundles ? WorkloadBundleStream::Kind::kX509 : WorkloadBundleStream::Kind::kJwt));
    }
  }

  Workload& Call() {
    stream_->handler().OnMessage("");
    stream_->handler().OnHalfClose();
    return *this;
  }

  // Waits for message number `count` (from 1) and returns it.
  template <typename Response = X509SVIDResponse>
  Response Await(size_t count) {
    world_.Until([&] { return stream_->sent.size() >= count || stream_->finished.has_value(); }, "a message");
    Response response;
    if (stream_->sent.size() < count) {
      ADD_FAILURE() << "the stream ended: " << stream_->finished.value_or(absl::OkStatus());
      return response;
    }
    EXPECT_TRUE(rpc::ParseMessage(rpc::MessageOf(stream_->sent[count - 1]), response).ok());
    return response;
  }
  absl::Status AwaitEnd() {
    world_.Until([&] { return stream_->finished.has_value(); }, "the end of the stream");
    return stream_->finished.value_or(absl::UnknownError("still open"));
  }
  // Messages so far, once everything posted has run and the hub's thread has nothing to do.
  size_t Settled() {
    for (int round = 0; round < 3; ++round) {
      auto passed = std::make_shared<std::atomic<bool>>(false);
      world_.hub->executor().Run([passed] { *passed = true; });
      world_.Until([&] { return passed->load(); }, "the hub's thread");
      world_.loop.Drain();
    }
    return stream_->sent.size();
  }

  FakeStream& stream() { return *stream_; }

 private:
  World& world_;
  std::unique_ptr<FakeStream> stream_;
};

std::vector<std::string> IdsIn(const X509SVIDResponse& response) {
  std::vector<std::string> ids;
  for (const X509SVID& svid : response.svids()) ids.push_back(svid.spiffe_id());
  return ids;
}

std::vector<std::string> HintsIn(const X509SVIDResponse& response) {
  std::vector<std::string> hints;
  for (const X509SVID& svid : response.svids()) hints.push_back(svid.hint());
  return hints;
}

// What a process may have: each identity with its hint.
CallerIdentity Holder(std::vector<std::pair<std::string, std::string>> ids_and_hints) {
  CallerIdentity caller;
  caller.method = AuthMethod::kUnixPeer;
  caller.subject = "uid 1000";
  for (const auto& [id, hint] : ids_and_hints) {
    caller.ids.push_back(Id(id));
    IdentityRights rights;
    rights.id = Id(id);
    rights.hint = hint;
    caller.rights.push_back(rights);
  }
  return caller;
}

// What SdsService::EntriesChanged does.
void ChangeEntries(World& world, absl::StatusOr<CallerIdentity> caller) {
  world.authenticator.Set(1000, std::move(caller));
  world.hub->keys().Recheck();
  world.hub->bundles().TellEntriesChanged();
}

SubscriberRecord Row(World& world) {
  const std::vector<SubscriberRecord> rows = world.registry->List();
  EXPECT_EQ(rows.size(), 1u);
  return rows.empty() ? SubscriberRecord() : rows.front();
}

class WorkloadStreamTest : public testing::Test {
 protected:
  Workload Open(uint32_t uid = 1000, Method method = Method::kX509Svid, int pid = 4242) {
    return Workload(world_, responses_, world_.UnixPeer(uid, pid), method);
  }

  World world_;
  WorkloadResponses responses_;
};

TEST_F(WorkloadStreamTest, TheFirstMessageHasEveryIdentityWithKeyChainAndBundle) {
  Workload workload = Open();
  const X509SVIDResponse response = workload.Call().Await(1);
  EXPECT_THAT(IdsIn(response), ElementsAre("spiffe://td.test/web", "spiffe://td.test/api"));
  EXPECT_EQ(response.federated_bundles_size(), 0);
  EXPECT_EQ(response.crl_size(), 0);
  for (const X509SVID& svid : response.svids()) {
    EXPECT_EQ(svid.bundle(), RootA().der().bytes());
    EXPECT_THAT(svid.x509_svid(), HasSubstr("leaf ")) << "DER as the issuer made it, not PEM";
    // PKCS#8 (RFC 5208), unencrypted, and the private half of the key that was certified.
    const auto* at = reinterpret_cast<const uint8_t*>(svid.x509_svid_key().data());
    const auto* const end = at + svid.x509_svid_key().size();
    PKCS8_PRIV_KEY_INFO* const pkcs8 =
        d2i_PKCS8_PRIV_KEY_INFO(nullptr, &at, static_cast<long>(svid.x509_svid_key().size()));
    ASSERT_NE(pkcs8, nullptr);
    EXPECT_EQ(at, end) << "bytes behind the key";
    const EvpPkeyPtr key(EVP_PKCS82PKEY(pkcs8));
    PKCS8_PRIV_KEY_INFO_free(pkcs8);
    ASSERT_NE(key, nullptr);
    bool certified = false;
    for (const AskedSvid& asked : world_.issuer.requests()) {
      certified |= asked.id.uri() == svid.spiffe_id() && EVP_PKEY_eq(asked.public_key.evp(), key.get()) == 1;
    }
    EXPECT_TRUE(certified) << svid.spiffe_id();
  }
}

TEST_F(WorkloadStreamTest, AHintComesOnceAndTheFirstKeepsIt) {
  world_.authenticator.Set(1000, Holder({{"spiffe://td.test/a", "internal"},
                                         {"spiffe://td.test/b", ""},
                                         {"spiffe://td.test/c", "internal"},
                                         {"spiffe://td.test/d", "external"}}));
  EXPECT_THAT(HintsIn(Open().Call().Await(1)), ElementsAre("internal", "", "", "external"));
}

TEST_F(WorkloadStreamTest, BundlesOfOtherTrustDomainsAreFederated) {
  auto trust = std::make_shared<Trust>();
  trust->version = 9;
  trust->domains.push_back({Domain("td.test"), {RootA().der()}, {}});
  trust->domains.push_back({Domain("other.test"), {RootB().der(), RootA().der()}, {}});
  world_.trust.Publish(trust);
  const X509SVIDResponse response = Open().Call().Await(1);
  ASSERT_EQ(response.federated_bundles_size(), 1);
  EXPECT_EQ(response.federated_bundles().at("spiffe://other.test"), RootB().der().bytes() + RootA().der().bytes());
  EXPECT_EQ(response.svids(0).bundle(), RootA().der().bytes());
  const auto bundles = Open(1000, Method::kX509Bundles).Call().Await<X509BundlesResponse>(1);
  EXPECT_EQ(bundles.bundles_size(), 2);
  EXPECT_EQ(bundles.bundles().at("spiffe://td.test"), RootA().der().bytes());
}

TEST_F(WorkloadStreamTest, WhoeverIsEntitledToNothingIsDeniedWithTheCommandThatHelps) {
  for (const Method method : {Method::kX509Svid, Method::kX509Bundles, Method::kJwtBundles}) {
    const absl::Status end = Open(2000, method).Call().AwaitEnd();
    EXPECT_EQ(end.code(), absl::StatusCode::kPermissionDenied);
    EXPECT_EQ(ReasonOf(end), "ENTRY_MISSING");
    EXPECT_THAT(std::string(end.message()),
                HasSubstr("meshca entry create spiffe://td.test/... --selector unix:uid:2000"));
  }
}

TEST_F(WorkloadStreamTest, AnOperatorHasNoIdentityOfItsOwnAndTheBundles) {
  const absl::Status end = Open(0).Call().AwaitEnd();
  EXPECT_EQ(end.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(end.message()), HasSubstr("unix:uid:0"));
  EXPECT_EQ(world_.issuer.submitted(), 0u);
  EXPECT_EQ(Open(0, Method::kX509Bundles).Call().Await<X509BundlesResponse>(1).bundles_size(), 1);
}

TEST_F(WorkloadStreamTest, ANewRootIsPushedWithTheSameKeys) {
  Workload workload = Open();
  const X509SVIDResponse first = workload.Call().Await(1);
  world_.trust.Publish({RootA(), RootB()});
  const X509SVIDResponse second = workload.Await(2);
  ASSERT_THAT(IdsIn(second), ElementsAre("spiffe://td.test/web", "spiffe://td.test/api")) << "the whole state";
  EXPECT_EQ(second.svids(0).bundle(), RootA().der().bytes() + RootB().der().bytes());
  EXPECT_EQ(second.svids(0).x509_svid_key(), first.svids(0).x509_svid_key());
  world_.trust.PublishAgain();
  EXPECT_EQ(workload.Settled(), 2u) << "nothing changed";
}

TEST_F(WorkloadStreamTest, ARenewedKeyIsPushedWithItsChain) {
  Workload workload = Open();
  const X509SVIDResponse first = workload.Call().Await(1);
  world_.clock.Advance(absl::Hours(14));
  world_.Wake();
  world_.Until([&] { return world_.issuer.submitted() == 4; }, "both renewals");
  world_.Until([&] { return workload.stream().sent.size() >= 3; }, "both pushes");
  const X509SVIDResponse last = workload.Await(3);
  for (int i = 0; i < 2; ++i) {
    EXPECT_NE(last.svids(i).x509_svid(), first.svids(i).x509_svid());
    EXPECT_NE(last.svids(i).x509_svid_key(), first.svids(i).x509_svid_key());
  }
}

TEST_F(WorkloadStreamTest, WhenARightGoesTheRemainingIdentitiesArePushedAndWithTheLastOneTheStreamEnds) {
  world_.authenticator.Set(1000, Holder({{"spiffe://td.test/web", ""}, {"spiffe://td.test/api", ""}}));
  Workload workload = Open(), bundles = Open(1000, Method::kX509Bundles);
  workload.Call().Await(1);
  bundles.Call().Await<X509BundlesResponse>(1);
  ChangeEntries(world_, Holder({{"spiffe://td.test/api", ""}}));
  EXPECT_THAT(IdsIn(workload.Await(2)), ElementsAre("spiffe://td.test/api"));
  EXPECT_FALSE(bundles.stream().finished.has_value());
  ChangeEntries(world_, absl::PermissionDeniedError("no registration entry fits"));
  EXPECT_EQ(workload.AwaitEnd().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(bundles.AwaitEnd().code(), absl::StatusCode::kPermissionDenied) << "a stream that holds no key too";
}

TEST_F(WorkloadStreamTest, ANewRightIsPushedToAStreamThatIsOpen) {
  world_.authenticator.Set(1000, Holder({{"spiffe://td.test/web", ""}}));
  Workload workload = Open();
  const X509SVIDResponse first = workload.Call().Await(1);
  ChangeEntries(world_, Holder({{"spiffe://td.test/web", "a hint"}, {"spiffe://td.test/api", ""}}));
  world_.Until([&] { return world_.issuer.submitted() == 2; }, "the new key");
  const size_t count = workload.Settled();
  const X509SVIDResponse last = workload.Await(count);
  EXPECT_THAT(IdsIn(last), ElementsAre("spiffe://td.test/web", "spiffe://td.test/api"));
  EXPECT_THAT(HintsIn(last), ElementsAre("a hint", ""));
  EXPECT_EQ(last.svids(0).x509_svid_key(), first.svids(0).x509_svid_key()) << "what it had it keeps";
}

TEST_F(WorkloadStreamTest, AJudgeThatIsAwayTakesNothingFromAStreamThatIsOpen) {
  Workload workload = Open();
  workload.Call().Await(1);
  ChangeEntries(world_, absl::UnavailableError("name service: no answer"));
  EXPECT_EQ(workload.Settled(), 1u);
  EXPECT_FALSE(workload.stream().finished.has_value());
  EXPECT_EQ(Open().Call().AwaitEnd().code(), absl::StatusCode::kUnavailable) << "and lets nobody new in";
  // It is back, and is asked again without another change.
  world_.authenticator.Set(1000, Holder({{"spiffe://td.test/api", ""}}));
  world_.Wake();
  EXPECT_THAT(IdsIn(workload.Await(2)), ElementsAre("spiffe://td.test/api"));
}

TEST_F(WorkloadStreamTest, AClientThatDoesNotReadGetsTheNewestStateAlone) {
  Workload workload = Open();
  workload.Call().Await(1);
  workload.stream().full = true;
  world_.trust.Publish({RootA(), RootB()});
  world_.trust.Publish({RootB()});
  EXPECT_EQ(workload.Settled(), 1u);
  workload.stream().full = false;
  workload.stream().handler().OnWritable();
  EXPECT_EQ(workload.Await(2).svids(0).bundle(), RootB().der().bytes());
  EXPECT_EQ(workload.Settled(), 2u);
}

TEST_F(WorkloadStreamTest, WhatWasWrittenCountsAsDeliveredAMinuteLater) {
  Workload workload = Open();
  workload.Call().Await(1);
  SubscriberRecord row = Row(world_);
  EXPECT_EQ(row.kind, "workload-api");
  EXPECT_EQ(row.spiffe_id, "spiffe://td.test/web");
  EXPECT_TRUE(row.connected && row.takes_bundle && row.takes_key && !row.takes_jwt_keys);
  world_.clock.Advance(absl::Seconds(59));
  world_.Wake();
  workload.Settled();
  EXPECT_EQ(Row(world_).trust_version, 0u);
  world_.clock.Advance(absl::Seconds(2));
  world_.Wake();
  world_.Until([&] { return Row(world_).trust_version == 1; }, "the delivery");
  row = Row(world_);
  EXPECT_EQ(row.delivered_at, world_.clock.Now());
  EXPECT_EQ(row.acknowledged_at, absl::InfinitePast()) << "nobody acknowledged anything";
  EXPECT_EQ(row.authority_id, "issuing-old");
  EXPECT_FALSE(row.serial.empty());
  EXPECT_EQ(world_.registry->Stats().delivered, 1u);
}

TEST_F(WorkloadStreamTest, AClientThatHasNotReadByThenIsCutAndHoldsNothing) {
  Workload workload = Open();
  workload.Call().Await(1);
  workload.stream().queued = 1;
  world_.clock.Advance(absl::Seconds(61));
  world_.Wake();
  const absl::Status end = workload.AwaitEnd();
  EXPECT_EQ(end.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ReasonOf(end), "NOT_READ");
  EXPECT_EQ(Row(world_).trust_version, 0u);
}

// `fetch_x509_svid()` of the libraries: one message, and the stream is reset. A process that lives by that would never
// have a stream that stays open.
TEST_F(WorkloadStreamTest, AClientThatTakesOneMessageAndGoesHoldsIt) {
  Workload workload = Open();
  workload.Call().Await(1);
  workload.stream().Close(absl::CancelledError("the client reset the stream"));
  EXPECT_FALSE(Row(world_).connected);
  EXPECT_EQ(Row(world_).trust_version, 1u);
}

TEST_F(WorkloadStreamTest, AClientWhoseConnectionBrokeOrThatDidNotReadHoldsNothing) {
  Workload broken = Open(1000, Method::kX509Svid, 1), unread = Open(1000, Method::kX509Svid, 2);
  broken.Call().Await(1);
  unread.Call().Await(1);
  broken.stream().Close(absl::UnavailableError("the connection broke"));
  unread.stream().queued = 1;
  unread.stream().Close(absl::CancelledError("the client reset the stream"));
  ASSERT_EQ(world_.registry->List().size(), 2u);
  for (const SubscriberRecord& row : world_.registry->List()) EXPECT_EQ(row.trust_version, 0u) << row.peer;
}

TEST_F(WorkloadStreamTest, AThousandStreamsOfOneProcessShareOneMessage) {
  std::vector<std::unique_ptr<Workload>> workloads;
  const auto peer = world_.UnixPeer(1000);
  for (int i = 0; i < 1000; ++i) {
    workloads.push_back(std::make_unique<Workload>(world_, responses_, peer));
    workloads.back()->Call();
  }
  for (const auto& workload : workloads) workload->Await(1);
  EXPECT_EQ(world_.issuer.submitted(), 2u) << "a key for each identity, not for each stream";
  EXPECT_EQ(responses_.serialised(), 1u);
  for (const auto& workload : workloads) EXPECT_EQ(workload->stream().sent[0], workloads[0]->stream().sent[0]);
  world_.trust.Publish({RootA(), RootB()});
  for (const auto& workload : workloads) workload->Await(2);
  EXPECT_EQ(responses_.serialised(), 2u);
}

TEST_F(WorkloadStreamTest, NoMessageWithAKeyIsKeptOnceItWasWritten) {
  Workload first = Open();
  first.Call().Await(1);
  const std::weak_ptr<const std::string> written = first.stream().sent[0];
  first.stream().sent.clear();
  EXPECT_TRUE(written.expired());
  Open().Call().Await(1);
  EXPECT_EQ(responses_.serialised(), 2u);
}

TEST_F(WorkloadStreamTest, WithoutTheDefaultIdentityNothingIsSent) {
  world_.issuer.FailWith(absl::UnavailableError("database: locked"));
  const absl::Status end = Open().Call().AwaitEnd();
  EXPECT_EQ(end.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(end.message()), HasSubstr("database: locked"));
}

// InvalidArgument tells a client never to come back: the standard keeps it for the client's own mistakes.
TEST_F(WorkloadStreamTest, AProfileThatRefusesTheIdentityIsADenial) {
  world_.issuer.FailWith(absl::InvalidArgumentError("the profile has no such key type"));
  const absl::Status end = Open().Call().AwaitEnd();
  EXPECT_EQ(end.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(end.message()), HasSubstr("no such key type"));
}

TEST_F(WorkloadStreamTest, ARevokedKeyEndsTheStreamAndTheNextOneHasANewKey) {
  Workload workload = Open();
  const X509SVIDResponse first = workload.Call().Await(1);
  for (const X509SVID& svid : first.svids()) world_.revocations.Revoke(svid.x509_svid().substr(strlen("leaf ")));
  EXPECT_EQ(world_.hub->keys().DropRevoked(), 2u);
  const absl::Status end = workload.AwaitEnd();
  EXPECT_EQ(end.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(ReasonOf(end), "CERTIFICATE_REVOKED");
  const X509SVIDResponse second = Open().Call().Await(1);
  EXPECT_NE(second.svids(0).x509_svid_key(), first.svids(0).x509_svid_key());
}

TEST_F(WorkloadStreamTest, AnEvictedSubscribersStreamEnds) {
  Workload workload = Open();
  workload.Call().Await(1);
  EXPECT_TRUE(world_.registry->Evict([](const SubscriberRecord& row) { return row.kind == "workload-api"; }).ok());
  const absl::Status end = workload.AwaitEnd();
  EXPECT_EQ(end.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ReasonOf(end), "SUBSCRIBER_EVICTED");
}

TEST_F(WorkloadStreamTest, NoKeyIsMadeForACallerThatThereIsNoRoomFor) {
  const std::vector<SubscriberRegistry::Member> others = world_.FillRoomOf(1000);
  const absl::Status end = Open().Call().AwaitEnd();
  EXPECT_EQ(end.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(end), "TOO_MANY_INSTANCES");
  EXPECT_EQ(world_.issuer.submitted(), 0u);
}

TEST_F(WorkloadStreamTest, WhatAStreamHoldsIsCharged) {
  Workload poor = Open();
  poor.stream().held_max = 3000;
  const absl::Status end = poor.Call().AwaitEnd();
  EXPECT_EQ(end.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(end), "TOO_MUCH_HELD");
  EXPECT_EQ(world_.issuer.submitted(), 0u);
  Workload rich = Open();
  rich.Call().Await(1);
  EXPECT_GT(rich.stream().held, 2u * 4096);
  const size_t with_two = rich.stream().held;
  ChangeEntries(world_, Holder({{"spiffe://td.test/api", ""}}));
  rich.Await(2);
  EXPECT_LT(rich.stream().held, with_two - 4000);
}

TEST_F(WorkloadStreamTest, AProcessWithTooManyIdentitiesIsTold) {
  CallerIdentity caller = Holder({});
  for (size_t i = 0; i <= kWorkloadSvidsMax; ++i) caller.ids.push_back(Id(absl::StrCat("spiffe://td.test/", i)));
  world_.authenticator.Set(1000, caller);
  const absl::Status end = Open().Call().AwaitEnd();
  EXPECT_EQ(ReasonOf(end), "TOO_MANY_IDENTITIES");
  EXPECT_EQ(world_.issuer.submitted(), 0u);
}

TEST_F(WorkloadStreamTest, JwtBundlesAreKeySetsAndCountForJwtKeysAlone) {
  const auto key = *SoftwareKey::Generate(KeyType::kEcP256);
  auto trust = std::make_shared<Trust>();
  trust->version = 7;
  trust->domains.push_back(
      {Domain("td.test"), {RootA().der()}, {{*JwkThumbprint(key->public_key()), key->public_key()}}});
  world_.trust.Publish(trust);
  Workload workload = Open(1000, Method::kJwtBundles);
  auto response = workload.Call().Await<JWTBundlesResponse>(1);
  ASSERT_EQ(response.bundles_size(), 1);
  const absl::StatusOr<Jwks> keys = Jwks::Parse(response.bundles().at("spiffe://td.test"));
  ASSERT_TRUE(keys.ok()) << keys.status();
  EXPECT_THAT(response.bundles().at("spiffe://td.test"), HasSubstr("jwt-svid"));
  const SubscriberRecord row = Row(world_);
  EXPECT_EQ(row.kind, "workload-jwt");
  EXPECT_TRUE(row.takes_jwt_keys && !row.takes_bundle && !row.takes_key);

  world_.trust.Publish({RootA()});  // the key is gone
  response = workload.Await<JWTBundlesResponse>(2);
  EXPECT_EQ(response.bundles().at("spiffe://td.test"), R"({"keys":[]})");
  world_.clock.Advance(absl::Seconds(61));
  world_.Wake();
  world_.Until([&] { return Row(world_).trust_version == 8; }, "the newer one too");
}

TEST_F(WorkloadStreamTest, ACallHasOneRequestAndOneOnly) {
  Workload twice = Open(), garbage = Open(), none = Open();
  twice.Call().Await(1);
  twice.stream().handler().OnMessage("");
  EXPECT_EQ(twice.AwaitEnd().code(), absl::StatusCode::kInvalidArgument);
  garbage.stream().handler().OnMessage("\xff\xff\xff");
  EXPECT_EQ(garbage.AwaitEnd().code(), absl::StatusCode::kInvalidArgument);
  none.stream().handler().OnHalfClose();
  EXPECT_EQ(none.AwaitEnd().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(WorkloadStreamTest, WhileTheCaStartsItIsUnavailable) {
  FakeTrust nothing;
  SecretHub::Parts parts{};
  parts.trust_domain = Domain("td.test");
  parts.trust = &nothing;
  parts.authenticator = &world_.authenticator;
  parts.certificates = &world_.certificates;
  parts.svids = &world_.issuer;
  parts.registry = world_.registry.get();
  parts.clock = &world_.clock;
  parts.entropy = &world_.entropy;
  SecretHub hub(parts);
  hub.Start();
  FakeStream stream(world_.loop, world_.UnixPeer(1000));
  stream.Attach(std::make_unique<X509SvidStream>(stream, hub, responses_));
  stream.handler().OnMessage("");
  ASSERT_TRUE(stream.finished.has_value());
  EXPECT_EQ(stream.finished->code(), absl::StatusCode::kUnavailable);
  stream.Close(*stream.finished);
}

}  // namespace
}  // namespace meshca::sds
