// The parts that need no socket: encodings, metadata, timers, rates, sources, routes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "ca/base/status.h"
#include "ca/rpc/grpc_wire.h"
#include "ca/rpc/metadata.h"
#include "ca/rpc/payload.h"
#include "ca/rpc/router.h"
#include "ca/rpc/source_table.h"
#include "ca/rpc/stats.h"
#include "ca/rpc/timer_heap.h"
#include "ca/rpc/token_bucket.h"

namespace meshca::rpc {
namespace {

using testing::ElementsAre;

TEST(Payload, HasTheFlagAndTheLengthBeforeTheMessage) {
  const Payload payload = Frame(std::string(258, 'x'));
  EXPECT_EQ(payload->substr(0, 5), std::string("\0\0\0\1\2", 5));
  EXPECT_EQ(MessageOf(payload), std::string(258, 'x'));
  EXPECT_EQ(Frame(absl::string_view())->size(), 5u);
}

struct TimeoutCase {
  const char* name;
  const char* value;
  std::optional<absl::Duration> expected;
};
class Timeout : public testing::TestWithParam<TimeoutCase> {};
TEST_P(Timeout, IsReadByTheLetter) { EXPECT_EQ(ParseTimeout(GetParam().value), GetParam().expected); }
INSTANTIATE_TEST_SUITE_P(
    GrpcOverHttp2, Timeout,
    testing::Values(TimeoutCase{"Hours", "2H", absl::Hours(2)}, TimeoutCase{"Minutes", "3M", absl::Minutes(3)},
                    TimeoutCase{"Seconds", "4S", absl::Seconds(4)},
                    TimeoutCase{"Milliseconds", "5m", absl::Milliseconds(5)},
                    TimeoutCase{"Microseconds", "6u", absl::Microseconds(6)},
                    TimeoutCase{"Nanoseconds", "7n", absl::Nanoseconds(7)},
                    TimeoutCase{"EightDigits", "99999999m", absl::Milliseconds(99999999)},
                    TimeoutCase{"NineDigits", "123456789S", std::nullopt}, TimeoutCase{"NoUnit", "12", std::nullopt},
                    TimeoutCase{"NoDigits", "S", std::nullopt}, TimeoutCase{"Negative", "-1S", std::nullopt},
                    TimeoutCase{"UnknownUnit", "1d", std::nullopt}, TimeoutCase{"Empty", "", std::nullopt}),
    [](const auto& info) { return std::string(info.param.name); });

struct ContentTypeCase {
  const char* name;
  const char* value;
  bool expected;
};
class ContentType : public testing::TestWithParam<ContentTypeCase> {};
TEST_P(ContentType, IsGrpcOrNot) { EXPECT_EQ(IsGrpcContentType(GetParam().value), GetParam().expected); }
INSTANTIATE_TEST_SUITE_P(GrpcOverHttp2, ContentType,
                         testing::Values(ContentTypeCase{"Plain", "application/grpc", true},
                                         ContentTypeCase{"Proto", "application/grpc+proto", true},
                                         ContentTypeCase{"Charset", "application/grpc; charset=utf-8", true},
                                         ContentTypeCase{"UpperCase", "Application/GRPC", true},
                                         ContentTypeCase{"Web", "application/grpc-web", false},
                                         ContentTypeCase{"JsonMessages", "application/grpc+json", false},
                                         ContentTypeCase{"Json", "application/json", false},
                                         ContentTypeCase{"Empty", "", false}),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(Wire, AMessageTooLongForTheTrailersIsShortenedAtAWholeCharacter) {
  EXPECT_EQ(BoundedMessage(std::string(3072, 'a')), std::string(3072, 'a'));
  EXPECT_EQ(BoundedMessage(std::string(3073, 'a')), std::string(3060, 'a') + " (shortened)");
  std::string accents;
  for (int i = 0; i < 3000; ++i) accents += "\xC3\xA9";
  const std::string shortened = BoundedMessage(accents);
  EXPECT_LE(PercentEncode(shortened).size(), 3072U);
  EXPECT_EQ(shortened, accents.substr(0, 1020) + " (shortened)");
  const std::string details = EncodeStatusDetails(WithReason(absl::AbortedError("x"), "WHY"), BoundedMessage(accents));
  EXPECT_LE(EncodeBinaryValue(details).size() + 3072, 8000U) << "together under what every client of gRPC takes";
}

TEST(Wire, PercentEncodesWhatAHeaderCannotHold) {
  EXPECT_EQ(PercentEncode("a b~"), "a b~");
  EXPECT_EQ(PercentEncode("100%\n\xC3\xA9"), "100%25%0A%C3%A9");
}

TEST(Wire, BinaryValuesComePaddedOrNot) {
  std::string bytes;
  for (const char* encoded : {"AAECA/8=", "AAECA/8"}) {
    ASSERT_TRUE(DecodeBinaryValue(encoded, bytes)) << encoded;
    EXPECT_EQ(bytes, std::string("\0\1\2\3\xff", 5));
  }
  EXPECT_EQ(EncodeBinaryValue(std::string("\0\1\2\3\xff", 5)), "AAECA/8");
  EXPECT_FALSE(DecodeBinaryValue("not base64!", bytes));
}

TEST(Wire, DetailsCarryTheReason) {
  EXPECT_EQ(EncodeStatusDetails(absl::NotFoundError("x"), "x"), "");
  const std::string details = EncodeStatusDetails(WithReason(absl::NotFoundError("gone"), "WHY"), "gone");
  // google.rpc.Status{code: 5, message: "gone", details: [Any{ErrorInfo{reason: "WHY", domain: "meshca"}}]}
  EXPECT_EQ(details, std::string("\x08\x05\x12\x04gone\x1a\x39\x0a\x28type.googleapis.com/google.rpc.ErrorInfo"
                                 "\x12\x0d\x0a\x03WHY\x12\x06meshca"));
}

TEST(Metadata, KeepsOrderAndRefusesWhatCannotTravel) {
  Metadata metadata;
  EXPECT_TRUE(metadata.Add("x-a", "1"));
  EXPECT_TRUE(metadata.Add("x-b-bin", std::string("\0\n", 2)));
  EXPECT_TRUE(metadata.Add("x-a", "2"));
  EXPECT_FALSE(metadata.Add("x-a", "line\nbreak"));
  EXPECT_FALSE(metadata.Add("X-A", "upper"));
  EXPECT_FALSE(metadata.Add("grpc-status", "0"));
  EXPECT_FALSE(metadata.Add(":path", "/"));
  EXPECT_FALSE(metadata.Add("", ""));
  EXPECT_EQ(metadata.size(), 3u);
  EXPECT_EQ(metadata.Find("x-a"), "1");
  EXPECT_THAT(metadata.FindAll("x-a"), ElementsAre("1", "2"));
  EXPECT_EQ(metadata.Find("x-b-bin"), absl::string_view("\0\n", 2));
  EXPECT_EQ(metadata.Find("x-c"), std::nullopt);
}

class NumberedTimer final : public Timer {
 public:
  void OnTimer() override { fired->push_back(number); }
  int number = 0;
  std::vector<int>* fired = nullptr;
};

TEST(TimerHeap, FiresInOrderWhateverWasMovedAndCancelled) {
  constexpr int kCount = 200;
  TimerHeap heap;
  std::vector<int> fired;
  std::vector<NumberedTimer> timers(kCount);
  for (int i = 0; i < kCount; ++i) {
    timers[i].number = i;
    timers[i].fired = &fired;
    heap.Set(timers[i], (i * 7919) % 1000 + 5000);  // moved below
  }
  for (int i = 0; i < kCount; ++i) heap.Set(timers[i], i);
  for (int i = 0; i < kCount; i += 3) heap.Cancel(timers[i]);
  for (int i = 0; i < kCount; i += 3) heap.Cancel(timers[i]);  // Twice changes nothing.
  heap.RunDue(99);
  std::vector<int> expected;
  for (int i = 0; i < 100; ++i) {
    if (i % 3 != 0) expected.push_back(i);
  }
  EXPECT_EQ(fired, expected);
  EXPECT_EQ(heap.next_due(), 100);
  heap.RunDue(kCount);
  EXPECT_EQ(heap.size(), 0u);
  EXPECT_EQ(heap.next_due(), TimerHeap::kNever);
}

// Timers come and go in any order, as connections do.
TEST(TimerHeap, FiresEachAtItsTimeThroughAnyComingAndGoing) {
  std::mt19937 random(20'260'102);
  const auto up_to = [&](int max) { return std::uniform_int_distribution<int>(0, max)(random); };
  TimerHeap heap;
  std::vector<int> fired;
  std::vector<NumberedTimer> timers(50);
  std::map<int, int64_t> due;  // by number
  for (int i = 0; i < 50; ++i) {
    timers[i].number = i;
    timers[i].fired = &fired;
  }
  for (int64_t now = 1; now <= 20'000; ++now) {
    NumberedTimer& timer = timers[static_cast<size_t>(up_to(49))];
    if (up_to(3) == 0) {
      heap.Cancel(timer);
      due.erase(timer.number);
    } else {
      due[timer.number] = now + up_to(100);
      heap.Set(timer, due[timer.number]);
    }
    fired.clear();
    heap.RunDue(now);
    std::vector<int> expected;
    for (const auto& [number, at] : due) {
      if (at <= now) expected.push_back(number);
    }
    std::sort(fired.begin(), fired.end());
    ASSERT_EQ(fired, expected) << "at " << now;
    for (const int number : expected) due.erase(number);
    ASSERT_EQ(heap.size(), due.size());
  }
}

constexpr int64_t kSecond = 1'000'000'000;

TEST(TokenBucket, GivesTheBurstThenTheRate) {
  const RateLimit limit = {10, 5};
  TokenBucket bucket;
  int taken = 0;
  while (bucket.Take(limit, kSecond)) ++taken;
  EXPECT_EQ(taken, 10);
  taken = 0;
  while (bucket.Take(limit, 2 * kSecond)) ++taken;
  EXPECT_EQ(taken, 5);
  EXPECT_TRUE(bucket.Take({0, 0}, 0)) << "no limit";
}

TEST(TokenBucket, DebtIsBoundedAndWaitedOut) {
  const RateLimit limit = {10, 5};
  TokenBucket bucket;
  EXPECT_TRUE(bucket.Charge(limit, 0, 10));
  EXPECT_FALSE(bucket.InDebt(limit, 0));
  EXPECT_FALSE(bucket.Charge(limit, 0, 1'000'000));
  EXPECT_TRUE(bucket.InDebt(limit, kSecond));
  EXPECT_FALSE(bucket.InDebt(limit, 3 * kSecond)) << "another burst of debt at most: two seconds at this rate";
}

sockaddr_storage V6(std::initializer_list<uint8_t> bytes) {
  sockaddr_storage storage{};
  auto& in6 = reinterpret_cast<sockaddr_in6&>(storage);
  in6.sin6_family = AF_INET6;
  std::copy(bytes.begin(), bytes.end(), in6.sin6_addr.s6_addr);
  return storage;
}

TEST(SourceKey, IsANetworkForIpv6) {
  const auto a = SourceKey::OfAddress(V6({0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, 1}));
  const auto same_network = SourceKey::OfAddress(V6({0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, 2}));
  const auto other_network = SourceKey::OfAddress(V6({0x20, 1, 0xd, 0xb8, 0, 0, 0, 2, 1}));
  EXPECT_TRUE(a == same_network);
  EXPECT_FALSE(a == other_network);
}

TEST(SourceKey, IsTheIpv4AddressInsideAMappedOne) {
  sockaddr_storage v4{};
  auto& in4 = reinterpret_cast<sockaddr_in&>(v4);
  in4.sin_family = AF_INET;
  in4.sin_addr.s_addr = htonl(0x7f000001);
  EXPECT_TRUE(SourceKey::OfAddress(v4) ==
              SourceKey::OfAddress(V6({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1})));
  EXPECT_FALSE(SourceKey::OfAddress(v4) == SourceKey::OfUid(in4.sin_addr.s_addr));
}

TEST(SourceTable, RemembersASourceForAMinuteBeyondItsLastConnection) {
  SourceTable table;
  const SourceLimits limits;
  auto source = table.Find(SourceKey::OfUid(1), kSecond);
  source->resets.Charge(limits.resets, kSecond, 1'000'000);
  source.reset();
  EXPECT_TRUE(table.Find(SourceKey::OfUid(1), 2 * kSecond)->OverRate(limits, 2 * kSecond)) << "reconnecting gains";
  table.Find(SourceKey::OfUid(2), 200 * kSecond);
  EXPECT_EQ(table.size(), 1u);
}

TEST(SourceTable, HoldsABoundedNumber) {
  SourceTable table;
  auto busy = table.Find(SourceKey::OfUid(0), 1);
  busy->connections = 1;
  for (uid_t uid = 1; uid < SourceTable::kSourcesMax + 100; ++uid) table.Find(SourceKey::OfUid(uid), 2);
  EXPECT_LE(table.size(), SourceTable::kSourcesMax);
  EXPECT_EQ(table.Find(SourceKey::OfUid(0), 3), busy);
}

TEST(Router, FindsMethodsAndListsServices) {
  Router router;
  router.AddUnary("/b.Two/X", [](std::shared_ptr<Call>) {}, {.request_bytes_max = 7});
  router.AddStream("/a.One/Y", [](Stream&) { return nullptr; });
  router.AddUnary("/a.One/Z", [](std::shared_ptr<Call>) {});
  ASSERT_NE(router.Find("/b.Two/X"), nullptr);
  EXPECT_EQ(router.Find("/b.Two/X")->message_bytes_max, 7u);
  EXPECT_EQ(router.Find("/b.Two/Y"), nullptr);
  EXPECT_TRUE(router.HasService("a.One"));
  EXPECT_FALSE(router.HasService("a"));
  EXPECT_THAT(router.services(), ElementsAre("a.One", "b.Two"));
}

TEST(RouterDeathTest, RefusesAMethodTwiceAndAPathThatIsNone) {
  Router router;
  router.AddUnary("/a.One/X", [](std::shared_ptr<Call>) {});
  EXPECT_DEATH(router.AddUnary("/a.One/X", [](std::shared_ptr<Call>) {}), "check failed");
  EXPECT_DEATH(router.AddUnary("a.One/X", [](std::shared_ptr<Call>) {}), "check failed");
}

TEST(Stats, EveryLimitHasAName) {
  for (size_t i = 0; i < static_cast<size_t>(LimitKind::kCount); ++i) {
    EXPECT_NE(LimitName(static_cast<LimitKind>(i)), "unknown") << i;
  }
  EXPECT_EQ(LatencyBucketEdge(0), absl::Microseconds(50));
  EXPECT_EQ(LatencyBucketEdge(1), absl::Microseconds(100));
  EXPECT_EQ(LatencyBucketEdge(kLatencyBuckets - 1), absl::InfiniteDuration());
}

}  // namespace
}  // namespace meshca::rpc
