// One node never has more than its share of what all agents share.
#include "ca/service/agent_shares.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <optional>
#include <string>

#include "ca/base/status.h"
#include "ca/service/agent_workers.h"
#include "test/fakes/status_matchers.h"

namespace meshca {
namespace {

using ::testing::HasSubstr;

constexpr absl::Duration kNow = absl::Hours(1);

AgentCaller Caller(const std::string& node, const std::string& certificate) {
  AgentCaller agent;
  agent.node = node;
  agent.identity.presented = PresentedCertificate{.serial = "0a", .sha256 = certificate, .spiffe_id = {}};
  return agent;
}

TEST(AgentShares, TakesTwoSignCallsOfANodeAndOneForItselfAlone) {
  AgentShares shares;
  auto first = shares.TakeSignPlace("web-1", false, kNow);
  const auto second = shares.TakeSignPlace("web-1", false, kNow);
  ASSERT_THAT(first, IsOk());
  ASSERT_THAT(second, IsOk());
  const auto third = shares.TakeSignPlace("web-1", false, kNow);
  EXPECT_THAT(third, StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("2 calls of node web-1 are under way")));
  EXPECT_EQ(ReasonOf(third.status()), "SIGN_SHARE_USED");
  EXPECT_THAT(shares.TakeSignPlace("web-2", false, kNow), IsOk());
  {
    const auto own = shares.TakeSignPlace("web-1", true, kNow);
    EXPECT_THAT(own, IsOk());
    EXPECT_THAT(shares.TakeSignPlace("web-1", true, kNow),
                StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("1 call for the agent's own certificate")));
  }
  EXPECT_THAT(shares.TakeSignPlace("web-1", true, kNow), IsOk());
  first->GiveBack();
  first->GiveBack();
  EXPECT_THAT(shares.TakeSignPlace("web-1", false, kNow), IsOk());
}

TEST(AgentShares, LetsFewRenewalsOfANodeGoFirst) {
  AgentShares shares;
  int first = 0;
  for (int i = 0; i < 1000; ++i) first += shares.TakeRenewal("web-1", kNow) ? 1 : 0;
  EXPECT_EQ(first, 256);
  EXPECT_TRUE(shares.TakeRenewal("web-2", kNow));
  for (int i = 0; i < 1000; ++i) first += shares.TakeRenewal("web-1", kNow + absl::Seconds(1)) ? 1 : 0;
  EXPECT_EQ(first, 256 + 16);
}

TEST(AgentShares, RemembersAVerdictForASecondAndUntilSomethingIsRevoked) {
  AgentShares shares;
  const AgentCaller agent = Caller("web-1", "certificate");
  EXPECT_FALSE(shares.MayBeServed(agent, 7, kNow));
  shares.RememberServed(agent, 7, kNow);
  EXPECT_TRUE(shares.MayBeServed(agent, 7, kNow));
  EXPECT_FALSE(shares.MayBeServed(agent, 8, kNow));
  EXPECT_FALSE(shares.MayBeServed(Caller("web-1", "another"), 7, kNow));
  EXPECT_FALSE(shares.MayBeServed(Caller("web-2", "certificate"), 7, kNow));
  EXPECT_FALSE(shares.MayBeServed(agent, 7, kNow + absl::Seconds(1)));
}

TEST(AgentShares, ForgetsNodesThatAskForNothing) {
  AgentShares shares;
  const auto held = shares.TakeSignPlace("busy", false, kNow);
  for (int i = 0; i < 5000; ++i) {
    shares.TakeRenewal("node-" + std::to_string(i), kNow + absl::Seconds(i));
    EXPECT_LE(shares.nodes(), 1025u);
  }
  EXPECT_THAT(shares.TakeSignPlace("busy", false, kNow), IsOk());
}

TEST(AgentWorkers, TellsANodeThatItHasItsShareAndServesAnother) {
  AgentWorkers workers;
  Mutex mutex;
  CondVar changed;
  bool open = false;
  std::atomic<int> ran = 0;
  const auto wait = [&] {
    MutexLock lock(mutex);
    while (!open) changed.Wait(mutex);
    ++ran;
  };
  for (size_t i = 0; i < AgentWorkers::kPerNodeMax; ++i) ASSERT_THAT(workers.Submit("web-1", wait), IsOk());
  const absl::Status refused = workers.Submit("web-1", wait);
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("node web-1 has 256 requests")));
  EXPECT_EQ(ReasonOf(refused), "NODE_SHARE_USED");
  EXPECT_THAT(workers.Submit("web-2", wait), IsOk());
  {
    MutexLock lock(mutex);
    open = true;
  }
  changed.NotifyAll();
  workers.Close();
  EXPECT_EQ(ran, 257);
  EXPECT_THAT(workers.Submit("web-2", [] {}), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("shutting down")));
}

}  // namespace
}  // namespace meshca
