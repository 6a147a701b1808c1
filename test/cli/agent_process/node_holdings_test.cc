#include "cli/agent_process/node_holdings.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ca/base/printable.h"
#include "ca/service/proto_time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace meshca::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr TrustVersion kTold = 7;

std::string FakeProgram(uint32_t pid) { return absl::StrCat("/bin/p", pid); }

SubscriberRecord Proxy(TrustVersion holds, absl::string_view serial, absl::string_view authority) {
  SubscriberRecord record;
  record.spiffe_id = "spiffe://td/web";
  record.kind = "sds-unix";
  record.peer = "pid 42 uid 1000";
  record.connected = true;
  record.takes_bundle = true;
  record.takes_key = !serial.empty();
  record.trust_version = holds;
  record.serial = std::string(serial);
  record.authority_id = std::string(authority);
  record.first_seen = absl::FromUnixSeconds(100);
  return record;
}

agent::v1::Held Compose(const std::vector<SubscriberRecord>& consumers, const std::vector<RingKey>& keys = {}) {
  return ComposeHeld(consumers, keys, kTold, FakeProgram);
}

std::vector<std::string> UnderOf(const agent::v1::Held& held) {
  std::vector<std::string> under;
  for (const agent::v1::HeldUnder& one : held.under()) {
    under.push_back(absl::StrCat(one.authority_id(), " ", one.certificates()));
  }
  return under;
}

TEST(ComposeHeld, ANodeWithoutConsumersHoldsWhatItWasTold) {
  const agent::v1::Held held = Compose({});
  EXPECT_EQ(held.trust_version(), kTold);
  EXPECT_EQ(held.consumers(), 0u);
  EXPECT_EQ(held.behind(), 0u);
  EXPECT_THAT(held.under(), IsEmpty());
}

TEST(ComposeHeld, WhoHasAllOfItIsNotBehind) {
  const agent::v1::Held held = Compose({Proxy(kTold, "aa", "new")}, {{"spiffe://td/web", "aa", "new"}});
  EXPECT_EQ(held.consumers(), 1u);
  EXPECT_EQ(held.behind(), 0u);
  EXPECT_EQ(held.certificates(), 1u);
  EXPECT_THAT(UnderOf(held), ElementsAre("new 1"));
}

TEST(ComposeHeld, WhoHoldsOlderTrustIsNamedByProcessAndProgram) {
  SubscriberRecord slow = Proxy(5, "", "");
  slow.acknowledged_at = absl::FromUnixSeconds(200);
  const agent::v1::Held held = Compose({Proxy(kTold, "", ""), slow});
  EXPECT_EQ(held.trust_version(), 5u) << "the slowest counts";
  ASSERT_THAT(held.behind_first(), SizeIs(1));
  EXPECT_EQ(held.behind_first(0).pid(), 42u);
  EXPECT_EQ(held.behind_first(0).program(), "/bin/p42");
  EXPECT_EQ(held.behind_first(0).trust_version(), 5u);
  EXPECT_EQ(ToTime(held.behind_first(0).since()), absl::FromUnixSeconds(200));
  EXPECT_FALSE(held.behind_first(0).delivered());
}

TEST(ComposeHeld, WhoHasNotAnsweredTheNewestCertificateHoldsTheOldOneStill) {
  const agent::v1::Held held = Compose({Proxy(kTold, "aa", "old")}, {{"spiffe://td/web", "bb", "new"}});
  EXPECT_EQ(held.behind(), 1u);
  EXPECT_EQ(held.behind_first(0).authority_id(), "old") << "so that its eviction takes it out of these";
  EXPECT_THAT(UnderOf(held), ElementsAre("new 1", "old 1")) << "it is drained no sooner than its last holder";
}

TEST(ComposeHeld, WhoTakesNoTrustIsNotAskedForIt) {
  SubscriberRecord keys_alone = Proxy(0, "aa", "new");
  keys_alone.takes_bundle = false;
  const agent::v1::Held held = Compose({keys_alone}, {{"spiffe://td/web", "aa", "new"}});
  EXPECT_EQ(held.trust_version(), kTold);
  EXPECT_EQ(held.behind(), 0u);
}

TEST(ComposeHeld, WhoTakesJwtKeysIsAskedForTheTrustThatHoldsThem) {
  SubscriberRecord validator = Proxy(3, "", "");
  validator.takes_bundle = false;
  validator.takes_jwt_keys = true;
  EXPECT_EQ(Compose({validator}).trust_version(), 3u);
}

TEST(ComposeHeld, WhoLeftAndMayStillUseItCountsAndWhoWasEvictedDoesNot) {
  SubscriberRecord left = Proxy(4, "", "");
  left.connected = false;
  SubscriberRecord evicted = Proxy(1, "aa", "old");
  evicted.evicted_at = absl::FromUnixSeconds(300);
  const agent::v1::Held held = Compose({left, evicted});
  EXPECT_EQ(held.consumers(), 1u);
  EXPECT_EQ(held.trust_version(), 4u);
  EXPECT_THAT(held.under(), IsEmpty());
}

TEST(ComposeHeld, NamesAHundredAndCountsAll) {
  const std::vector<SubscriberRecord> many(250, Proxy(1, "", ""));
  const agent::v1::Held held = Compose(many);
  EXPECT_EQ(held.behind(), 250u);
  EXPECT_THAT(held.behind_first(), SizeIs(100));
}

TEST(ComposeHeld, MoreAuthoritiesThanCanBeToldAreToldAsNone) {
  std::vector<RingKey> keys;
  for (int i = 0; i < 17; ++i) keys.push_back({"spiffe://td/web", absl::StrCat("s", i), absl::StrCat("a", i)});
  const agent::v1::Held held = Compose({}, keys);
  EXPECT_EQ(held.certificates(), 17u);
  EXPECT_THAT(held.under(), IsEmpty()) << "counts as one that holds a stale certificate";
}

TEST(ComposeHeld, AProcessThatCannotBeSeenHasNoProgram) {
  SubscriberRecord hidden = Proxy(1, "", "");
  hidden.peer = "pid unknown uid 1000";
  const agent::v1::Held held = Compose({hidden});
  ASSERT_THAT(held.behind_first(), SizeIs(1));
  EXPECT_EQ(held.behind_first(0).pid(), 0u);
  EXPECT_EQ(held.behind_first(0).program(), "");
}

TEST(ComposeHeld, AProgramsNameIsTextAndShort) {
  const std::vector<std::string> paths = {"/tmp/\xff\xfe", "/tmp/\n\x1b[31m", "/" + std::string(4000, '\xff'),
                                          "/" + std::string(300, 'p'), "/" + std::string(254, 'p') + "\u00e9\u00e9"};
  for (const std::string& path : paths) {
    const agent::v1::Held held = ComposeHeld({Proxy(1, "", "")}, {}, kTold, [&path](uint32_t) { return path; });
    const std::string& shown = held.behind_first(0).program();
    EXPECT_LE(shown.size(), 256u);
    EXPECT_EQ(shown, Printable(shown)) << "and it is no more than it shows";
    EXPECT_EQ(shown.substr(0, 1), "/");
  }
}

// The CA takes messages of 256 KiB from an agent, and ends the stream of one that sends more.
TEST(ComposeHeld, TheLongestReportThatANodesUsersCanCauseIsTaken) {
  SubscriberRecord longest = Proxy(1, "old", std::string(64, 'a'));
  longest.spiffe_id = "spiffe://" + std::string(255, 'd') + "/" + std::string(2048 - 265, 'p');
  std::vector<RingKey> keys;
  for (int i = 0; i < 16; ++i) keys.push_back({longest.spiffe_id, absl::StrCat("s", i), std::string(64, 'a' + i % 6)});
  const agent::v1::Held held = ComposeHeld(std::vector<SubscriberRecord>(100, longest), keys, kTold,
                                           [](uint32_t) { return std::string(4095, '\xff'); });
  agent::v1::AttachRequest request;
  *request.mutable_held() = held;
  EXPECT_THAT(held.behind_first(), SizeIs(100));
  EXPECT_LT(request.ByteSizeLong(), 256u * 1024);
  agent::v1::AttachRequest parsed;
  EXPECT_TRUE(parsed.ParseFromString(request.SerializeAsString()));
}

}  // namespace
}  // namespace meshca::cli
