// One key for all processes with the same right to an identity, and each of them judged by itself.
#include "sds/key_sharing.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/rpc/protobuf_payload.h"
#include "ca/subscribers/evidence_source.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sds/secret_fetch.h"
#include "test/sds/world.h"

namespace meshca::sds {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

constexpr char kWeb[] = "spiffe://td.test/web";
constexpr char kApi[] = "spiffe://td.test/api";

CallerIdentity Entitled(uint32_t uid, std::vector<std::string> ids = {kWeb, kApi}) {
  CallerIdentity caller;
  caller.method = AuthMethod::kUnixPeer;
  caller.subject = absl::StrCat("uid ", uid);
  for (const std::string& id : ids) {
    caller.ids.push_back(Id(id));
    caller.rights.push_back({Id(id), {}, {}, {OriginKind::kEntry, "entry-1"}});
  }
  return caller;
}

// ---- The rule.

struct RightsCase {
  const char* name;
  void (*change)(CallerIdentity&);
  bool shares;
};

class KeySharingRule : public testing::TestWithParam<RightsCase> {};

TEST_P(KeySharingRule, GoesByTheRightToTheIdentity) {
  World world;
  const SdsCaller one{Entitled(1000), world.UnixPeer(1000, 1), "", ""};
  SdsCaller other{Entitled(1000), world.UnixPeer(1000, 2), "", ""};
  GetParam().change(other.identity);
  EXPECT_EQ(SharedKeyName(one, "a", Id(kWeb)) == SharedKeyName(other, "b", Id(kWeb)), GetParam().shares);
  EXPECT_NE(SharedKeyName(one, "a", Id(kWeb)), SharedKeyName(one, "a", Id(kApi)));
}

INSTANTIATE_TEST_SUITE_P(
    Rights, KeySharingRule,
    testing::Values(
        RightsCase{"Same", [](CallerIdentity&) {}, true},
        RightsCase{"OtherUser", [](CallerIdentity& c) { c.subject = "uid 7"; }, true},
        RightsCase{"OtherProcess", [](CallerIdentity& c) { c.instance = "pid 7 start 8"; }, true},
        RightsCase{"OtherIdentitiesBeside", [](CallerIdentity& c) { c.ids.push_back(Id("spiffe://td.test/x")); }, true},
        RightsCase{"NamesOfAnotherIdentity", [](CallerIdentity& c) { c.rights[1].dns_names = {"api.test"}; }, true},
        RightsCase{"OtherNames", [](CallerIdentity& c) { c.rights[0].dns_names = {"web.test"}; }, false},
        RightsCase{"NamesOfAllIdentities", [](CallerIdentity& c) { c.dns_names = {"web.test"}; }, false},
        RightsCase{"OtherLifetime", [](CallerIdentity& c) { c.rights[0].lifetime_max = absl::Hours(1); }, false},
        RightsCase{"OtherEntry", [](CallerIdentity& c) { c.rights[0].origin.reference = "entry-2"; }, false},
        RightsCase{"Operator", [](CallerIdentity& c) { c.method = AuthMethod::kServerUser; }, false}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(KeySharingRule, OverMtlsAnInstanceHasItsOwn) {
  World world;
  const SdsCaller caller{Entitled(0), world.TlsPeer(Id(kWeb)), "lineage", "line"};
  EXPECT_FALSE(SharesKeys(caller));
  EXPECT_NE(SharedKeyName(caller, "a", Id(kWeb)), SharedKeyName(caller, "b", Id(kWeb)));
  const SdsCaller on_socket{Entitled(0), world.UnixPeer(0), "", ""};
  EXPECT_TRUE(SharesKeys(on_socket));
  EXPECT_NE(SharedKeyName(caller, "a", Id(kWeb)), SharedKeyName(on_socket, "a", Id(kWeb)));
}

// ---- What follows from it.

class SharedKey : public testing::Test {
 protected:
  SharedKey() {
    for (const uint32_t uid : {1000, 3000}) world.authenticator.Set(uid, Entitled(uid));
  }
  std::unique_ptr<Proxy> Open(uint32_t uid, int pid, std::vector<std::string> names = {kWeb}) {
    auto proxy = std::make_unique<Proxy>(world, world.UnixPeer(uid, pid), kState);
    proxy->Ask(std::move(names));
    return proxy;
  }
  std::string Take(Proxy& proxy, size_t count, absl::string_view name = kWeb) {
    const std::string secret = SecretIn(proxy.Await(count), name).SerializeAsString();
    proxy.Ack();
    return secret;
  }
  void RenewAll() {
    world.hub->keys().Renew([](const SpiffeId&, absl::string_view) { return true; });
  }
  void Idle() {
    world.Until(
        [&] {
          const KeyRingStats stats = world.hub->keys().Stats();
          return stats.waiting == 0 && stats.in_flight == 0;
        },
        "an idle ring");
  }
  // On whose behalf each certificate was asked for; "+" before a renewal.
  std::vector<std::string> AskedFor() {
    std::vector<std::string> asked;
    for (const AskedSvid& request : world.issuer.requests()) {
      asked.push_back(absl::StrCat(request.caller.IsRenewal() ? "+" : "", request.caller.subject));
    }
    return asked;
  }

  World world;
};

TEST_F(SharedKey, AllProcessesHaveTheSameAndItIsNobodysOwn) {
  auto first = Open(1000, 1), second = Open(1000, 2), third = Open(3000, 3);
  const std::string key = Take(*first, 1);
  EXPECT_EQ(Take(*second, 1), key);
  EXPECT_EQ(Take(*third, 1), key);
  const std::vector<AskedSvid> requests = world.issuer.requests();
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_EQ(requests[0].caller.instance, kSharedKeyInstance);
  EXPECT_THAT(world.registry->SharedKeyInstances(), ElementsAre(std::string(kSharedKeyInstance)));
  EXPECT_EQ(world.registry->List().size(), 3u) << "evidence stays each process's own";
  RenewAll();
  const std::string next = Take(*first, 2);
  EXPECT_NE(next, key);
  EXPECT_EQ(Take(*second, 2), next);
  EXPECT_EQ(Take(*third, 2), next);
  EXPECT_EQ(world.issuer.submitted(), 2u);
}

TEST_F(SharedKey, AFetchSharesItToo) {
  auto proxy = Open(1000, 1);
  const std::string key = Take(*proxy, 1);
  DiscoveryRequest request;
  request.add_resource_names(kWeb);
  auto call = std::make_shared<FakeCall>(world.UnixPeer(3000, 2), request.SerializeAsString());
  FetchSecrets(*world.hub, call);
  world.Until([&] { return call->finished(); }, "the answer");
  ASSERT_NE(call->response(), nullptr) << call->error();
  DiscoveryResponse response;
  ASSERT_TRUE(response.ParseFromString(std::string(rpc::MessageOf(call->response()))));
  EXPECT_EQ(SecretIn(response, kWeb).SerializeAsString(), key);
  EXPECT_EQ(world.issuer.submitted(), 1u);
}

TEST_F(SharedKey, WhoMayNotAnyMoreLeavesItAndTheOthersKeepIt) {
  auto out = Open(1000, 1), stays = Open(3000, 3);
  Take(*out, 1);
  Take(*stays, 1);
  world.authenticator.Set(1000, absl::PermissionDeniedError("no registration entry fits uid 1000"));
  world.hub->keys().Recheck();
  EXPECT_EQ(out->AwaitEnd().code(), absl::StatusCode::kPermissionDenied);
  Idle();
  EXPECT_EQ(stays->Settled(), 1u);
  EXPECT_FALSE(stays->stream().finished.has_value());
  RenewAll();
  Take(*stays, 2);
  EXPECT_THAT(AskedFor(), ElementsAre("uid 1000", "+uid 3000"));
}

TEST_F(SharedKey, ARenewalJudgesEachAndGoesOnForWhoStillMay) {
  auto out = Open(1000, 1), other_out = Open(1000, 2), stays = Open(3000, 3);
  for (Proxy* proxy : {out.get(), other_out.get(), stays.get()}) Take(*proxy, 1);
  world.authenticator.Set(1000, Entitled(1000, {kApi}));
  RenewAll();
  Take(*stays, 2);
  EXPECT_THAT(std::string(out->AwaitEnd().message()), HasSubstr("may not hold spiffe://td.test/web any more"));
  EXPECT_EQ(other_out->AwaitEnd().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(out->Settled(), 1u) << "the renewal is not theirs";
  EXPECT_THAT(AskedFor(), ElementsAre("uid 1000", "+uid 3000"));
}

TEST_F(SharedKey, WhenNobodyIsLeftItIsDropped) {
  auto first = Open(1000, 1), second = Open(3000, 2);
  Take(*first, 1);
  Take(*second, 1);
  for (const uint32_t uid : {1000, 3000}) world.authenticator.Set(uid, absl::PermissionDeniedError("entry deleted"));
  world.hub->keys().Recheck();
  EXPECT_FALSE(first->AwaitEnd().ok());
  EXPECT_FALSE(second->AwaitEnd().ok());
  EXPECT_EQ(world.hub->keys().Stats().keys, 0u);
}

TEST_F(SharedKey, OneThatNobodyHoldsIsKeptWhileItsLastHolderMayHaveIt) {
  auto proxy = Open(1000, 1);
  Take(*proxy, 1);
  proxy->stream().Close(absl::UnavailableError("broken"));
  world.hub->keys().Recheck();
  Idle();
  EXPECT_EQ(world.hub->keys().Stats().keys, 1u);
  world.authenticator.Set(1000, absl::UnavailableError("nobody can say"));
  world.hub->keys().Recheck();
  Idle();
  EXPECT_EQ(world.hub->keys().Stats().keys, 1u);
  world.authenticator.Set(1000, absl::PermissionDeniedError("entry deleted"));
  world.hub->keys().Recheck();
  world.Until([&] { return world.hub->keys().Stats().keys == 0; }, "the key's end");
}

TEST_F(SharedKey, WhatTheIssuerRefusesOneMayBeHadForAnother) {
  world.issuer.RefuseFor("uid 1000", absl::PermissionDeniedError("entry entry-1 was deleted"));
  world.issuer.HoldBack(true);
  auto refused = Open(1000, 1);
  world.Until([&] { return world.issuer.submitted() == 1; }, "the request");
  auto same_user = Open(1000, 2), entitled = Open(3000, 3);
  world.Until([&] { return world.registry->Stats().known == 3; }, "all three");
  same_user->Settled();
  entitled->Settled();
  world.issuer.HoldBack(false);
  world.issuer.Release();
  Take(*entitled, 1);
  EXPECT_EQ(refused->AwaitEnd().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(same_user->AwaitEnd().code(), absl::StatusCode::kPermissionDenied) << "one answer for one user";
  EXPECT_THAT(AskedFor(), ElementsAre("uid 1000", "uid 3000"));
}

TEST_F(SharedKey, WhoCannotBeJudgedNowGetsTheRenewalOnceItCan) {
  auto unsure = Open(1000, 1), sure = Open(3000, 3);
  Take(*unsure, 1);
  Take(*sure, 1);
  world.authenticator.Set(1000, absl::UnavailableError("the host's name service does not answer"));
  RenewAll();
  const std::string renewed = Take(*sure, 2);
  Idle();
  EXPECT_EQ(unsure->Settled(), 1u);
  EXPECT_FALSE(unsure->stream().finished.has_value()) << "what it has is still good";
  world.Wake();
  EXPECT_EQ(unsure->Settled(), 1u);
  world.authenticator.Set(1000, Entitled(1000));
  world.Wake();
  EXPECT_EQ(Take(*unsure, 2), renewed);
  EXPECT_EQ(world.issuer.submitted(), 2u);
  Idle();
  world.Wake();
  EXPECT_EQ(unsure->Settled(), 2u) << "once";
}

TEST_F(SharedKey, WhoseRightsChangeAloneGetsAnotherKeyAtTheRenewal) {
  auto changed = Open(1000, 1), other = Open(3000, 3);
  Take(*changed, 1);
  const std::string before = Take(*other, 1);
  CallerIdentity more = Entitled(1000);
  more.rights[0].dns_names = {"web.test"};
  world.authenticator.Set(1000, more);
  world.hub->keys().Recheck();
  Idle();
  EXPECT_EQ(world.issuer.submitted(), 1u) << "a certificate once given stays";
  RenewAll();
  const std::string own = Take(*changed, 2);
  EXPECT_NE(Take(*other, 2), own);
  Idle();
  ASSERT_THAT(AskedFor(), UnorderedElementsAre("uid 1000", "uid 1000", "+uid 3000"));
  for (const AskedSvid& request : world.issuer.requests()) {
    const bool may = request.caller.MayHaveDnsName(request.id, "web.test");
    EXPECT_EQ(may, &request != &world.issuer.requests().front() && request.caller.subject == "uid 1000" &&
                       request.public_key != world.issuer.requests().front().public_key);
  }
  // Who comes with the new rights has the new key too.
  auto late = Open(1000, 4);
  EXPECT_EQ(Take(*late, 1), own);
  EXPECT_EQ(world.hub->keys().Stats().keys, 2u);
}

TEST_F(SharedKey, WhenTheRightsOfAllChangeTheKeyFollowsThem) {
  auto first = Open(1000, 1), second = Open(3000, 3);
  Take(*first, 1);
  Take(*second, 1);
  for (const uint32_t uid : {1000, 3000}) {
    CallerIdentity caller = Entitled(uid);
    caller.rights[0].origin.reference = "entry-2";  // the entry was applied anew
    world.authenticator.Set(uid, caller);
  }
  RenewAll();
  const std::string key = Take(*first, 2);
  EXPECT_EQ(Take(*second, 2), key);
  const std::vector<AskedSvid> requests = world.issuer.requests();
  ASSERT_EQ(requests.size(), 2u) << "one renewal";
  EXPECT_TRUE(requests[1].caller.IsRenewal());
  EXPECT_EQ(requests[1].caller.OriginOf(Id(kWeb)).reference, "entry-2");
  EXPECT_EQ(world.hub->keys().Stats().keys, 1u);
  EXPECT_EQ(Take(*Open(1000, 5), 1), key);
}

// The key is there already, because others hold it.
TEST_F(SharedKey, AStreamThatHasStoodIsJudgedBeforeItGetsAKeyOfOthers) {
  auto others = Open(3000, 3, {kApi});
  const std::string key = Take(*others, 1, kApi);
  auto stands = Open(1000, 1), lost = Open(1000, 2);
  Take(*stands, 1);
  Take(*lost, 1);
  stands->Ask({kWeb, kApi});
  EXPECT_EQ(SecretIn(stands->Await(2), kApi).SerializeAsString(), key);
  world.authenticator.Set(1000, Entitled(1000, {kWeb}));
  lost->Ask({kWeb, kApi});
  Idle();
  for (size_t response = 1; response <= lost->Settled(); ++response) {
    EXPECT_THAT(NamesIn(lost->Await(response)), testing::Not(testing::Contains(kApi)));
  }
  EXPECT_FALSE(lost->stream().finished.has_value()) << "what it may have stays";
  EXPECT_EQ(world.issuer.submitted(), 2u);
}

TEST_F(SharedKey, AThousandStreamsCostOneKeyAndAProcessOneQuestion) {
  std::vector<std::unique_ptr<Proxy>> proxies;
  for (int i = 0; i < 1000; ++i) {
    proxies.push_back(std::make_unique<Proxy>(world, world.UnixPeer(1000, 1 + i % 10), kState));
    proxies.back()->Ask({kWeb});
  }
  for (auto& proxy : proxies) Take(*proxy, 1);
  EXPECT_EQ(world.hub->keys().Stats().keys, 1u);
  EXPECT_EQ(world.issuer.submitted(), 1u);
  const int asked = world.authenticator.asked();
  RenewAll();
  for (auto& proxy : proxies) proxy->Await(2);
  EXPECT_EQ(world.authenticator.asked() - asked, 10);
  EXPECT_EQ(world.issuer.submitted(), 2u);
}

TEST_F(SharedKey, WhenItIsRevokedWhoHeldItLastIsTakenToHoldNothing) {
  world.issuer.SetLifetime(absl::Hours(20));
  auto left = Open(1000, 1), stays = Open(3000, 3);
  Take(*left, 1);
  Take(*stays, 1);
  left->stream().Close(absl::UnavailableError("broken"));
  const auto rows = world.registry->List();
  ASSERT_EQ(rows.size(), 2u);
  world.revocations.Revoke(rows[0].serial);
  EXPECT_EQ(world.hub->keys().DropRevoked(), 1u);
  EXPECT_EQ(ReasonOf(stays->AwaitEnd()), "CERTIFICATE_REVOKED");
  stays->stream().Close(absl::OkStatus());
  world.registry->Tick();
  EXPECT_TRUE(world.registry->List().empty());
}

}  // namespace
}  // namespace meshca::sds
