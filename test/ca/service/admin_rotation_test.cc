// The admin service's view of a rotation, and its orders, on a rotation that only pretends.
#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "ca/base/status.h"
#include "ca/service/admin_methods.h"
#include "ca/service/proto_time.h"
#include "test/ca/service/service_fixture.h"
#include "test/fakes/fake_rotation.h"
#include "test/fakes/status_matchers.h"

namespace meshca::admin_methods {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class AdminRotationTest : public ServiceTest {
 protected:
  AdminRotationTest() { context.rotation = &rotation; }

  RootRotation Running() {
    RootRotation row;
    row.number = 3;
    row.step = RotationStep::kDistribute;
    row.old_root_id = std::string(64, 'a');
    row.new_root_id = std::string(64, 'b');
    row.automatic = true;
    row.actor = kActor;
    row.started_at = clock.Now() - absl::Minutes(5);
    row.step_at = clock.Now() - absl::Minutes(4);
    row.bundle_sequence = 4;
    return row;
  }

  absl::StatusOr<v1::RotationStatus> Get() { return GetRotation(context, kActor, v1::GetRotationRequest()); }
  absl::StatusOr<v1::RotationStatus> Begin(const v1::BeginRotationRequest& request) {
    return BeginRotation(context, kActor, request);
  }

  FakeRotation rotation;
  AdminContext context = Context();
};

TEST_F(AdminRotationTest, WithoutAnyRotationThereAreStillRoots) {
  const auto status = Get();
  ASSERT_THAT(status, IsOk());
  EXPECT_EQ(status->step(), "none");
  EXPECT_EQ(status->number(), 0u);
  EXPECT_FALSE(status->running());
  EXPECT_FALSE(status->has_started_at());
  EXPECT_FALSE(status->has_as_of());
  EXPECT_FALSE(status->has_ends_about());
  EXPECT_EQ(ToTime(status->now()), clock.Now());
  ASSERT_EQ(status->roots_size(), 1);
  EXPECT_EQ(status->roots(0).id(), manager->Current()->issuing->root_id);
  EXPECT_EQ(status->roots(0).state(), "active");
}

TEST_F(AdminRotationTest, ShowsWhereItStandsAndWhoIsBehind) {
  rotation.report.rotation = Running();
  rotation.report.as_of = clock.Now();
  rotation.report.evidence.subscribers = 40;
  rotation.report.evidence.subscribers_behind = 1;
  rotation.report.evidence.leaves_behind = 1;
  Laggard web;
  web.reason = Laggard::Reason::kRejected;
  web.spiffe_id = "spiffe://cluster.local/web";
  web.instance = "i-1";
  web.node = "n1";
  web.via = "sds-unix";
  web.connected = true;
  web.trust_version = 3;
  web.since = clock.Now() - absl::Minutes(1);
  web.detail = "no such file";
  Laggard leaf;
  leaf.reason = Laggard::Reason::kLiveLeaf;
  leaf.serial = "12";
  leaf.since = clock.Now();
  leaf.until = clock.Now() + absl::Hours(1);
  rotation.report.evidence.laggards = {web, leaf};
  rotation.report.waiting_for = "1 subscriber has not acknowledged bundle 4";
  rotation.report.frozen = "the clock jumped";
  rotation.report.error = "disk full";
  rotation.report.reissue_left = 7;
  rotation.report.ends_about = clock.Now() + absl::Hours(12);
  rotation.report.warnings = {"no cross-certificate"};
  context.authority_error = [] { return "plugged-in CA: held"; };

  const auto status = Get();
  ASSERT_THAT(status, IsOk());
  EXPECT_EQ(status->step(), "distribute");
  EXPECT_EQ(status->number(), 3u);
  EXPECT_TRUE(status->running());
  EXPECT_EQ(status->old_root_id(), std::string(64, 'a'));
  EXPECT_EQ(status->new_root_id(), std::string(64, 'b'));
  EXPECT_FALSE(status->has_deadline());
  EXPECT_EQ(ToTime(status->step_at()), clock.Now() - absl::Minutes(4));
  EXPECT_EQ(status->subscribers(), 40u);
  EXPECT_EQ(status->subscribers_behind(), 1u);
  EXPECT_EQ(status->leaves_behind(), 1u);
  EXPECT_EQ(status->reissue_left(), 7u);
  ASSERT_EQ(status->laggards_size(), 2);
  EXPECT_EQ(status->laggards(0).reason(), "rejected");
  EXPECT_EQ(status->laggards(0).instance(), "i-1");
  EXPECT_TRUE(status->laggards(0).connected());
  EXPECT_FALSE(status->laggards(0).has_until());
  EXPECT_EQ(status->laggards(0).detail(), "no such file");
  EXPECT_EQ(status->laggards(1).reason(), "live-leaf");
  EXPECT_EQ(ToTime(status->laggards(1).until()), clock.Now() + absl::Hours(1));
  EXPECT_EQ(status->frozen(), "the clock jumped");
  EXPECT_EQ(status->error(), "disk full");
  EXPECT_EQ(ToTime(status->ends_about()), clock.Now() + absl::Hours(12));
  EXPECT_THAT(status->warnings(), ElementsAre("no cross-certificate"));
  EXPECT_EQ(status->authority_error(), "plugged-in CA: held");

  rotation.report.rotation->step = RotationStep::kDone;
  EXPECT_FALSE(Get()->running());
}

TEST_F(AdminRotationTest, AForecastLeavesUnknownTimesAbsent) {
  RotationForecast forecast;
  forecast.steps = {{RotationStep::kDistribute, "publishes both roots", absl::Seconds(3)},
                    {RotationStep::kDrain, "waits for the last old certificate", absl::InfiniteDuration()}};
  forecast.total = absl::InfiniteDuration();
  forecast.subscribers = 2;
  forecast.live_leaves = 9;
  forecast.at_risk.leaves_behind = 5;
  forecast.at_risk.laggards.resize(1);
  rotation.forecast = forecast;
  const auto message = ForecastRotation(context, kActor, v1::ForecastRotationRequest());
  ASSERT_THAT(message, IsOk());
  ASSERT_EQ(message->steps_size(), 2);
  EXPECT_EQ(message->steps(0).step(), "distribute");
  EXPECT_EQ(message->steps(0).about().seconds(), 3);
  EXPECT_FALSE(message->steps(1).has_about());
  EXPECT_FALSE(message->has_total());
  EXPECT_EQ(message->leaves_at_risk(), 5u);
  EXPECT_EQ(message->at_risk_size(), 1);
  EXPECT_THAT(rotation.orders, IsEmpty());
}

TEST_F(AdminRotationTest, OrdersCarryTheActorAndTheirFlags) {
  v1::BeginRotationRequest begin;
  begin.set_automatic(true);
  begin.set_emergency(true);
  begin.set_confirm_external(true);
  begin.mutable_deadline()->set_seconds(3600);
  EXPECT_THAT(Begin(begin), IsOk());
  EXPECT_TRUE(rotation.begun_with.automatic);
  EXPECT_TRUE(rotation.begun_with.emergency);
  EXPECT_TRUE(rotation.begun_with.external_confirmed);
  EXPECT_EQ(rotation.begun_with.deadline, clock.Now() + absl::Hours(1));
  EXPECT_THAT(Begin(v1::BeginRotationRequest()), IsOk());
  EXPECT_FALSE(rotation.begun_with.automatic);
  EXPECT_EQ(rotation.begun_with.deadline, absl::InfiniteFuture());

  v1::ActivateRootRequest activate;
  activate.set_force(true);
  EXPECT_THAT(ActivateRoot(context, kActor, activate), IsOk());
  v1::RetireRootRequest retire;
  retire.set_confirm_external(true);
  EXPECT_THAT(RetireRoot(context, kActor, retire), IsOk());
  EXPECT_THAT(AbortRotation(context, kActor, v1::AbortRotationRequest()), IsOk());
  EXPECT_THAT(RollBackRotation(context, kActor, v1::RollBackRotationRequest()), IsOk());
  v1::TaintAuthorityRequest taint;
  taint.set_id("ABCDEF12");
  EXPECT_THAT(TaintAuthority(context, kActor, taint), IsOk());
  EXPECT_THAT(rotation.orders,
              ElementsAre("begin by uid 0 pid 1", "begin by uid 0 pid 1", "activate force=1 by uid 0 pid 1",
                          "retire force=0 confirmed=1 by uid 0 pid 1", "abort by uid 0 pid 1",
                          "rollback by uid 0 pid 1", "taint abcdef12 by uid 0 pid 1"));
}

TEST_F(AdminRotationTest, ARefusalReachesTheOperatorAsItWasSaid) {
  rotation.answer = WithReason(absl::FailedPreconditionError("web would break\ndb would break"), "ROTATION_UNSAFE");
  const auto refused = ActivateRoot(context, kActor, v1::ActivateRootRequest());
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("web would break\ndb")));
  EXPECT_EQ(ReasonOf(refused.status()), "ROTATION_UNSAFE");
  EXPECT_THAT(Begin(v1::BeginRotationRequest()), StatusIs(absl::StatusCode::kFailedPrecondition));
}

struct BadBegin {
  std::string name;
  bool emergency;
  int64_t seconds;
  std::string words;
};
class AdminRefusesBegin : public AdminRotationTest, public testing::WithParamInterface<BadBegin> {};
TEST_P(AdminRefusesBegin, InvalidArgument) {
  v1::BeginRotationRequest request;
  request.set_emergency(GetParam().emergency);
  request.mutable_deadline()->set_seconds(GetParam().seconds);
  EXPECT_THAT(Begin(request), StatusIs(kInvalid, HasSubstr(GetParam().words)));
  EXPECT_THAT(rotation.orders, IsEmpty());
}
INSTANTIATE_TEST_SUITE_P(Rules, AdminRefusesBegin,
                         testing::Values(BadBegin{"DeadlineWithoutEmergency", false, 60, "emergency"},
                                         BadBegin{"NegativeDeadline", true, -5, "deadline -5s"},
                                         BadBegin{"NoTimeAtAll", true, 0, "not in the future"}),
                         [](const auto& info) { return info.param.name; });

struct BadId {
  std::string name;
  std::string id;
  std::string words;
};
class AdminRefusesTaint : public AdminRotationTest, public testing::WithParamInterface<BadId> {};
TEST_P(AdminRefusesTaint, InvalidArgument) {
  v1::TaintAuthorityRequest request;
  request.set_id(GetParam().id);
  EXPECT_THAT(TaintAuthority(context, kActor, request), StatusIs(kInvalid, HasSubstr(GetParam().words)));
  EXPECT_THAT(rotation.orders, IsEmpty());
}
INSTANTIATE_TEST_SUITE_P(Rules, AdminRefusesTaint,
                         testing::Values(BadId{"Empty", "", "at least 8"},
                                         BadId{"SevenDigits", "abcdef1", "at least 8"},
                                         BadId{"NoHex", "root-of-all", "hexadecimal"},
                                         BadId{"TooLong", std::string(65, 'a'), "has 64"}),
                         [](const auto& info) { return info.param.name; });

TEST_F(AdminRotationTest, WithoutRotationControlEveryMethodSaysSo) {
  context.rotation = nullptr;
  constexpr auto kUnimplemented = absl::StatusCode::kUnimplemented;
  EXPECT_THAT(Get(), StatusIs(kUnimplemented));
  EXPECT_THAT(ForecastRotation(context, kActor, v1::ForecastRotationRequest()), StatusIs(kUnimplemented));
  EXPECT_THAT(Begin(v1::BeginRotationRequest()), StatusIs(kUnimplemented));
  EXPECT_THAT(ActivateRoot(context, kActor, v1::ActivateRootRequest()), StatusIs(kUnimplemented));
  EXPECT_THAT(RetireRoot(context, kActor, v1::RetireRootRequest()), StatusIs(kUnimplemented));
  EXPECT_THAT(AbortRotation(context, kActor, v1::AbortRotationRequest()), StatusIs(kUnimplemented));
  EXPECT_THAT(RollBackRotation(context, kActor, v1::RollBackRotationRequest()), StatusIs(kUnimplemented));
  v1::TaintAuthorityRequest taint;
  taint.set_id("abcdef12");
  EXPECT_THAT(TaintAuthority(context, kActor, taint), StatusIs(kUnimplemented));
}

SubscriberRecord SubscriberNamed(const std::string& instance, const std::string& id, const std::string& node,
                                 const std::string& peer) {
  SubscriberRecord record;
  record.instance = instance;
  record.spiffe_id = "spiffe://cluster.local/" + id;
  record.node = node;
  record.peer = peer;
  record.authority_id = std::string(64, 'c');
  return record;
}

TEST_F(AdminRotationTest, EvictionNamesTheInstance) {
  subscribers.records = {SubscriberNamed("1", "web", "", ""), SubscriberNamed("2", "web", "", "")};
  v1::EvictSubscriberRequest request;
  EXPECT_THAT(EvictSubscriber(context, kActor, request), StatusIs(kInvalid, HasSubstr("instance")));
  request.set_instance("3");
  EXPECT_THAT(EvictSubscriber(context, kActor, request),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("subscriber list")));
  request.set_instance("1");
  for (const char* time : {"first", "second: it is evicted already, and that is what was asked for"}) {
    const auto evicted = EvictSubscriber(context, kActor, request);
    ASSERT_THAT(evicted, IsOk()) << time;
    EXPECT_TRUE(evicted->has_evicted_at());
    EXPECT_EQ(evicted->authority_id(), std::string(64, 'c'));
  }
  const auto list = ListSubscribers(context, kActor, v1::ListSubscribersRequest());
  EXPECT_TRUE(list->subscribers(0).has_evicted_at());
  EXPECT_FALSE(list->subscribers(1).has_evicted_at());
}

struct EvictCase {
  const char* name;
  std::function<void(v1::EvictSubscribersRequest&)> select;
  std::vector<std::string> evicted;
  uint64_t ended;
  const char* audit_target;
  const char* audit_detail;
};

class AdminEviction : public AdminRotationTest, public testing::WithParamInterface<EvictCase> {};

TEST_P(AdminEviction, TakesThoseThatFitAndSaysInTheAuditLogWhoSelectedWhom) {
  subscribers.records = {SubscriberNamed("1", "web", "node-1", "pid 1 uid 1000"),
                         SubscriberNamed("2", "web", "node-2", "pid 2 uid 1000"),
                         SubscriberNamed("3", "db", "node-1", "pid 3 uid 100"),
                         SubscriberNamed("4", "edge", "other", "10.0.0.7:41822 line 0a1b")};
  subscribers.records[1].connected = true;
  v1::EvictSubscribersRequest request;
  GetParam().select(request);
  const auto response = EvictSubscribers(context, kActor, request);
  ASSERT_THAT(response, IsOk());
  std::vector<std::string> evicted;
  for (const v1::Subscriber& one : response->subscribers()) evicted.push_back(one.instance());
  EXPECT_EQ(evicted, GetParam().evicted);
  EXPECT_EQ(response->ended(), GetParam().ended);
  std::vector<AuditEntry> entries;
  ASSERT_TRUE(store
                  .ListAudit([&](const AuditEntry& entry) {
                    if (entry.action == "subscriber.evict") entries.push_back(entry);
                    return true;
                  })
                  .ok());
  ASSERT_EQ(entries.size(), GetParam().evicted.empty() ? 0u : 1u);
  if (entries.empty()) return;
  EXPECT_EQ(entries[0].actor, kActor);
  EXPECT_EQ(entries[0].target, GetParam().audit_target);
  EXPECT_EQ(entries[0].detail, GetParam().audit_detail);
}

INSTANTIATE_TEST_SUITE_P(
    Selections, AdminEviction,
    testing::Values(
        EvictCase{"ById",
                  [](auto& request) { request.set_spiffe_id_glob("spiffe://cluster.local/w*"); },
                  {"1", "2"},
                  1,
                  "id spiffe://cluster.local/w*",
                  "2 subscribers, 1 connected: spiffe://cluster.local/web on node-1 (1), spiffe://cluster.local/web on "
                  "node-2 (2)"},
        EvictCase{"ByNode",
                  [](auto& request) { request.set_node_glob("node-1"); },
                  {"1", "3"},
                  0,
                  "node node-1",
                  "2 subscribers, 0 connected: spiffe://cluster.local/web on node-1 (1), spiffe://cluster.local/db on "
                  "node-1 (3)"},
        EvictCase{"ByUidNotByItsBeginning",
                  [](auto& request) { request.set_uid(100); },
                  {"3"},
                  0,
                  "uid 100",
                  "1 subscriber, 0 connected: spiffe://cluster.local/db on node-1 (3)"},
        EvictCase{"ByUidOfNobody", [](auto& request) { request.set_uid(7); }, {}, 0, "", ""},
        EvictCase{"ByInstance",
                  [](auto& request) { request.set_instance("4"); },
                  {"4"},
                  0,
                  "4",
                  "1 subscriber, 0 connected: spiffe://cluster.local/edge on other (4)"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST_F(AdminRotationTest, AnEvictionSelectsInExactlyOneWay) {
  v1::EvictSubscribersRequest request;
  EXPECT_THAT(EvictSubscribers(context, kActor, request), StatusIs(kInvalid, HasSubstr("exactly one")));
  request.set_uid(0);
  EXPECT_THAT(EvictSubscribers(context, kActor, request), IsOk()) << "uid 0 is a user, not an absence";
  request.set_node_glob("*");
  EXPECT_THAT(EvictSubscribers(context, kActor, request), StatusIs(kInvalid, HasSubstr("not 2")));
}

TEST_F(AdminRotationTest, AWaitIsOfAnEmergencyAndStandsBesideNoDeadline) {
  v1::BeginRotationRequest begin;
  begin.set_wait(true);
  EXPECT_THAT(Begin(begin), StatusIs(kInvalid, HasSubstr("emergency")));
  begin.set_emergency(true);
  EXPECT_THAT(Begin(begin), IsOk());
  EXPECT_TRUE(rotation.begun_with.waits_for_silent);
  begin.mutable_deadline()->set_seconds(60);
  EXPECT_THAT(Begin(begin), StatusIs(kInvalid, HasSubstr("exclude each other")));
}

TEST_F(AdminRotationTest, ADeadlineThatNeverComesIsShownAsNone) {
  RootRotation waits;
  waits.number = 1;
  waits.emergency = true;
  waits.deadline = RootRotation::WaitsForever();
  rotation.report.rotation = waits;
  const auto status = Get();
  ASSERT_THAT(status, IsOk());
  EXPECT_FALSE(status->has_deadline());
  EXPECT_FALSE(status->has_emergency_grace());
  rotation.report.emergency_grace = absl::Minutes(5);
  EXPECT_EQ(Get()->emergency_grace().seconds(), 300);
}

}  // namespace
}  // namespace meshca::admin_methods
