// Who gets a place and who gives one up, without a socket: the plan, sources, crowds, paced lanes, what the log is
// told.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include <cstring>
#include <deque>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "ca/rpc/connection_plan.h"
#include "ca/rpc/paced_lanes.h"
#include "ca/rpc/residents.h"
#include "ca/rpc/shut_out_log.h"
#include "ca/rpc/source_table.h"

namespace meshca::rpc {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

// ---- the plan

struct PlanCase {
  const char* name;
  uint64_t descriptors;
};
class Plan : public testing::TestWithParam<PlanCase> {};

TEST_P(Plan, LeavesAReserveAndNoOneAllOfThePublicPlaces) {
  const GlobalLimits global;
  const SourceLimits source;
  const ConnectionPlan plan = PlanConnections(GetParam().descriptors, global, source);
  EXPECT_GE(plan.privileged_max, 16u);
  EXPECT_LT(plan.privileged_per_source_max, plan.privileged_max) << "two operators fit";
  EXPECT_LT(plan.per_source_max, plan.public_max);
  EXPECT_LE(plan.per_source_max, source.connections_max);
  EXPECT_LT(plan.kind_max, plan.public_max);
  EXPECT_LT(plan.certified_per_address_max, plan.public_max);
  const uint64_t used = uint64_t{plan.public_max} + plan.privileged_max + global.descriptors_kept;
  EXPECT_LE(used, std::max<uint64_t>(GetParam().descriptors, 512));
}
INSTANTIATE_TEST_SUITE_P(Descriptors, Plan,
                         testing::Values(PlanCase{"Few", 256}, PlanCase{"Default", 1'024}, PlanCase{"Some", 20'000},
                                         PlanCase{"Many", 1 << 20},
                                         PlanCase{"Unlimited", std::numeric_limits<uint64_t>::max()}),
                         [](const auto& info) { return info.param.name; });

TEST(Plan, WithManyDescriptorsTheConfiguredNumbersStand) {
  const ConnectionPlan plan = PlanConnections(1 << 20, {}, {});
  EXPECT_EQ(plan.public_max, GlobalLimits().connections_max);
  EXPECT_EQ(plan.per_source_max, SourceLimits().connections_max);
  EXPECT_EQ(plan.privileged_max, GlobalLimits().privileged_connections_max);
}

// ---- sources

SourceKey OfAddress(const char* text) {
  sockaddr_storage storage{};
  if (std::strchr(text, ':') != nullptr) {
    auto& in6 = reinterpret_cast<sockaddr_in6&>(storage);
    in6.sin6_family = AF_INET6;
    EXPECT_EQ(::inet_pton(AF_INET6, text, &in6.sin6_addr), 1) << text;
  } else {
    auto& in4 = reinterpret_cast<sockaddr_in&>(storage);
    in4.sin_family = AF_INET;
    EXPECT_EQ(::inet_pton(AF_INET, text, &in4.sin_addr), 1) << text;
  }
  return SourceKey::OfAddress(storage);
}

TEST(SourceKey, AllOfTheLoopbackIsOneSource) {
  const SourceKey loopback = OfAddress("127.0.0.1");
  for (const char* text : {"127.0.0.2", "127.255.255.254", "::ffff:127.9.9.9", "::1"}) {
    EXPECT_TRUE(OfAddress(text) == loopback) << text;
  }
  for (const char* text : {"128.0.0.1", "126.0.0.1", "::2", "::ffff:10.0.0.1", "10.0.0.1"}) {
    EXPECT_FALSE(OfAddress(text) == loopback) << text;
  }
}

TEST(SourceKey, OneUidOnAPrivilegedSocketAndElsewhereIsTwoSources) {
  EXPECT_FALSE(SourceKey::OfUid(0) == SourceKey::OfUid(0, /*privileged=*/true));
  EXPECT_TRUE(SourceKey::OfUid(0, true) == SourceKey::OfUid(0, true));
}

TEST(SourceKey, AnIdentityIsOneSourceWhereverItComesFrom) {
  EXPECT_TRUE(SourceKey::OfIdentity("spiffe://a.test/web") == SourceKey::OfIdentity("spiffe://a.test/web"));
  EXPECT_FALSE(SourceKey::OfIdentity("spiffe://a.test/web") == SourceKey::OfIdentity("spiffe://a.test/api"));
}

struct NameCase {
  SourceKey key;
  const char* name;
};

TEST(SourceTable, CallsEachSourceByANameThatPeopleKnow) {
  SourceTable table;
  for (const NameCase& c :
       {NameCase{OfAddress("192.0.2.7"), "192.0.2.7"}, NameCase{OfAddress("2001:db8::7"), "2001:db8::/64"},
        NameCase{OfAddress("127.0.0.9"), "loopback"}, NameCase{SourceKey::OfUid(7), "uid 7"},
        NameCase{SourceKey::OfUid(0, true), "uid 0 (privileged)"},
        NameCase{SourceKey::OfIdentity("spiffe://a.test/web"), "spiffe://a.test/web"}}) {
    EXPECT_EQ(table.Find(c.key, 1, "spiffe://a.test/web")->name, c.name);
  }
}

TEST(SourceTable, KeepsAnAddressWhoseCallersHaveProvenWhoTheyAre) {
  SourceTable table;
  auto address = table.Find(OfAddress("192.0.2.7"), 1);
  address->certified = 1;
  table.Find(SourceKey::OfUid(1), 200 * kSecond);  // Sweeps.
  EXPECT_EQ(table.Find(OfAddress("192.0.2.7"), 201 * kSecond), address);
}

TEST(Source, FailedHandshakesPaceAndDoNotRefuse) {
  const SourceLimits limits;
  Source source(OfAddress("192.0.2.7"), "192.0.2.7");
  EXPECT_FALSE(source.Paced(limits, kSecond));
  source.handshake_failures.Charge(limits.handshake_failures, kSecond, 10'000);
  EXPECT_TRUE(source.Paced(limits, kSecond));
  EXPECT_FALSE(source.OverRate(limits, kSecond));
  source.resets.Charge(limits.resets, kSecond, 100'000);
  EXPECT_TRUE(source.OverRate(limits, kSecond));
}

// ---- crowds

class ResidentsTest : public testing::Test {
 protected:
  struct Guest final : Residents::Entry {};
  ResidentsTest() : big_(SourceKey::OfUid(1), "big"), small_(SourceKey::OfUid(2), "small") {}
  ~ResidentsTest() override {
    for (Guest& guest : guests_) residents_.Remove(guest);
  }
  Guest& Add(const Source& source) {
    residents_.Add(guests_.emplace_back(), source);
    return guests_.back();
  }
  Source big_;
  Source small_;
  Residents residents_;
  std::deque<Guest> guests_;
};

TEST_F(ResidentsTest, NobodyIsThereAtFirst) {
  EXPECT_EQ(residents_.IdlestOfTheLargest(), nullptr);
  EXPECT_EQ(residents_.IdlestOf(big_), nullptr);
}

TEST_F(ResidentsTest, TheLargestSourceGivesWayHoweverLongOthersWereIdle) {
  Guest& oldest = Add(small_);
  Guest& first = Add(big_);
  Add(big_);
  EXPECT_EQ(residents_.IdlestOfTheLargest(), &first);
  EXPECT_EQ(&Residents::SourceOf(first), &big_);
  EXPECT_EQ(residents_.IdlestOf(small_), &oldest);
}

TEST_F(ResidentsTest, TheOneLongestWithoutACallGivesWay) {
  Guest& a = Add(big_);
  Guest& b = Add(big_);
  Guest& c = Add(big_);
  residents_.Touch(a, /*busy=*/true);
  EXPECT_EQ(residents_.IdlestOf(big_), &b);
  residents_.Touch(b, /*busy=*/false);
  EXPECT_EQ(residents_.IdlestOf(big_), &c) << "a call that ended just now was a call";
  residents_.Touch(c, true);
  residents_.Touch(b, true);
  EXPECT_EQ(residents_.IdlestOf(big_), &a) << "all have calls: whose are oldest";
  residents_.Touch(c, false);
  EXPECT_EQ(residents_.IdlestOf(big_), &c);
}

TEST_F(ResidentsTest, WhoShrinksIsNotTheLargestForLong) {
  std::vector<Guest*> guests;
  for (int i = 0; i < 20; ++i) guests.push_back(&Add(big_));
  for (int i = 0; i < 10; ++i) Add(small_);
  ASSERT_EQ(&Residents::SourceOf(*residents_.IdlestOfTheLargest()), &big_);
  for (int i = 0; i < 15; ++i) residents_.Remove(*guests[i]);
  EXPECT_EQ(&Residents::SourceOf(*residents_.IdlestOfTheLargest()), &small_);
  for (int i = 15; i < 20; ++i) residents_.Remove(*guests[i]);
  EXPECT_EQ(residents_.sources(), 1u);
  EXPECT_EQ(residents_.IdlestOf(big_), nullptr);
  residents_.Remove(*guests[0]);  // No resident any more: nothing happens.
}

TEST_F(ResidentsTest, WhoComesIsNotTheLargestBecauseTheLargestLeftOrShrank) {
  Guest& alone = Add(small_);
  ASSERT_NE(residents_.IdlestOfTheLargest(), nullptr);
  for (int i = 0; i < 50; ++i) Add(big_);
  residents_.Remove(alone);
  Source third(SourceKey::OfUid(3), "third");
  Guest& newcomer = Add(third);
  EXPECT_EQ(&Residents::SourceOf(*residents_.IdlestOfTheLargest()), &big_);
  residents_.Remove(newcomer);

  // The largest shrinks below the second, and a third grows beyond what is left of it.
  std::vector<Guest*> most;
  for (int i = 0; i < 100; ++i) most.push_back(&Add(small_));
  ASSERT_EQ(&Residents::SourceOf(*residents_.IdlestOfTheLargest()), &small_);
  for (int i = 0; i < 70; ++i) residents_.Remove(*most[i]);
  std::vector<Guest*> others;
  for (int i = 0; i < 31; ++i) others.push_back(&Add(third));
  EXPECT_EQ(&Residents::SourceOf(*residents_.IdlestOfTheLargest()), &big_);
  for (Guest* guest : others) residents_.Remove(*guest);
}

// ---- paced lanes

class PacedLanesTest : public testing::Test {
 protected:
  struct Waiter final : PacedLanes::Entry {};
  ~PacedLanesTest() override {
    for (Waiter& waiter : waiters_) lanes_.Remove(waiter);
  }
  std::set<PacedLanes::Entry*> Fill(PacedLanes::Lane lane, int count) {
    std::set<PacedLanes::Entry*> added;
    for (int i = 0; i < count; ++i) {
      lanes_.Add(waiters_.emplace_back(), lane);
      added.insert(&waiters_.back());
    }
    return added;
  }
  PacedLanes lanes_{7};
  std::deque<Waiter> waiters_;
};

TEST_F(PacedLanesTest, AddressesOfProvenCallersTakeTurnsWithAllOthers) {
  const auto unknown = Fill(PacedLanes::Lane::kUnknown, 1'000);
  const auto known = Fill(PacedLanes::Lane::kKnown, 5);
  int of_known = 0;
  for (int i = 0; i < 10; ++i) of_known += known.count(lanes_.Next()) > 0 ? 1 : 0;
  EXPECT_EQ(of_known, 5);
  EXPECT_EQ(unknown.count(lanes_.Next()), 1u);
}

TEST_F(PacedLanesTest, WhatHasBegunComesFirst) {
  Fill(PacedLanes::Lane::kUnknown, 10);
  const auto begun = Fill(PacedLanes::Lane::kBegun, 3);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(begun.count(lanes_.Next()), 1u) << i;
}

TEST_F(PacedLanesTest, EverybodyHasATurnAndWhoLeftHasNone) {
  Fill(PacedLanes::Lane::kUnknown, 100);
  for (int i = 0; i < 100; i += 2) lanes_.Remove(waiters_[i]);
  std::set<PacedLanes::Entry*> served;
  while (PacedLanes::Entry* entry = lanes_.Next()) served.insert(entry);
  EXPECT_EQ(served.size(), 50u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(served.count(&waiters_[i]), static_cast<size_t>(i % 2)) << i;
  EXPECT_TRUE(lanes_.empty());
}

TEST_F(PacedLanesTest, StepsHaveAThirdOfTheTime) {
  int64_t now = kSecond;
  int64_t worked = 0;
  while (now < 2 * kSecond) {
    if (lanes_.Ready(now)) {
      constexpr int64_t kStep = 300'000;
      now += kStep;
      worked += kStep;
      lanes_.Spend(kStep);
    } else {
      now += 50'000;  // Others' turn.
    }
  }
  EXPECT_GT(worked, kSecond * 30 / 100);
  EXPECT_LT(worked, kSecond * 36 / 100);
}

// ---- the log

TEST(ShutOutLog, IsToldOnceAMinuteForEachLimitAndKindOfSource) {
  ShutOutLog log;
  const auto kUid = SourceKey::Kind::kUid;
  EXPECT_EQ(log.Due(LimitKind::kCalls, kUid, kSecond), std::optional<uint64_t>(0));
  for (int i = 0; i < 500; ++i) EXPECT_FALSE(log.Due(LimitKind::kCalls, kUid, 2 * kSecond).has_value());
  EXPECT_TRUE(log.Due(LimitKind::kGaveWay, kUid, 2 * kSecond).has_value()) << "another limit";
  EXPECT_TRUE(log.Due(LimitKind::kCalls, SourceKey::Kind::kIpv4, 2 * kSecond).has_value()) << "another kind";
  EXPECT_EQ(log.Due(LimitKind::kCalls, kUid, 61 * kSecond), std::optional<uint64_t>(500));
  EXPECT_FALSE(log.Due(LimitKind::kCalls, kUid, 62 * kSecond).has_value());
}

TEST(ShutOutLog, SaysWhoByWhichLimitAndWhatToDo) {
  ShutOutLog log;
  const Source source(SourceKey::OfUid(1000), "uid 1000");
  testing::internal::CaptureStderr();
  for (int i = 0; i < 3; ++i) log.Tell(LimitKind::kConnectionsPerSource, source, "unix:uid=1000,pid=7", kSecond);
  const std::string text = testing::internal::GetCapturedStderr();
  for (const char* word : {"connections are refused", "uid 1000", "connections_per_source", "pid=7",
                           "limits.connections_per_source_max"}) {
    EXPECT_THAT(text, testing::HasSubstr(word));
  }
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
}

}  // namespace
}  // namespace meshca::rpc
