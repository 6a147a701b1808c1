// No more certificates a second than the budget has, whoever is in want, and everybody in turn.
#include "ca/agents/permit_share.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <vector>

namespace meshca {
namespace {

AgentStreamId Stream(uint64_t number) { return AgentStreamId{number}; }

uint64_t Sum(const std::vector<PermitShare::Grant>& grants) {
  uint64_t sum = 0;
  for (const PermitShare::Grant& grant : grants) sum += grant.certificates;
  return sum;
}

TEST(PermitShare, GrantsAQuarterOfASecondsWorthAtOnceAndThenByTheTime) {
  PermitShare share;
  const std::vector<PermitShare::Want> wants = {{Stream(1), 100'000}};
  EXPECT_EQ(Sum(share.Share(wants, 100, absl::Seconds(10))), 25u);
  EXPECT_EQ(Sum(share.Share(wants, 100, absl::Seconds(10))), 0u);
  EXPECT_EQ(Sum(share.Share(wants, 100, absl::Milliseconds(10'250))), 25u);
  // However seldom it is asked for.
  EXPECT_EQ(Sum(share.Share(wants, 100, absl::Milliseconds(11'250))), 100u);
  // Time in which nobody was in want is not saved up.
  EXPECT_EQ(Sum(share.Share(wants, 100, absl::Seconds(1000))), 25u);
}

TEST(PermitShare, NeverExceedsTheBudgetAndServesEverybody) {
  PermitShare share;
  std::map<AgentStreamId, uint64_t> stale;
  for (uint64_t i = 1; i <= 300; ++i) stale[Stream(i)] = 10;
  uint64_t granted_in_all = 0;
  std::vector<uint64_t> by_round;
  int rounds = 0;
  for (absl::Duration now = absl::Seconds(1); !stale.empty() && rounds < 1000; now += absl::Milliseconds(250)) {
    ++rounds;
    std::vector<PermitShare::Want> wants;
    for (const auto& [stream, certificates] : stale) wants.push_back({stream, certificates});
    by_round.push_back(0);
    for (const PermitShare::Grant& grant : share.Share(wants, 200, now)) {
      granted_in_all += grant.certificates;
      by_round.back() += grant.certificates;
      uint64_t& left = stale[grant.stream];
      ASSERT_LE(grant.certificates, left);
      left -= grant.certificates;
      if (left == 0) stale.erase(grant.stream);
    }
    // In any second, the first one too: of every four rounds in a row.
    const size_t second = std::min<size_t>(4, by_round.size());
    EXPECT_LE(std::accumulate(by_round.end() - static_cast<ptrdiff_t>(second), by_round.end(), uint64_t{0}), 200u);
  }
  EXPECT_EQ(rounds, 60);
  EXPECT_TRUE(stale.empty());
  EXPECT_EQ(granted_in_all, 3000u);
}

TEST(PermitShare, GrantsNotAgainWhatIsStillUnderWay) {
  PermitShare share;
  EXPECT_EQ(Sum(share.Share({{Stream(1), 30}}, 200, absl::Seconds(1))), 30u);
  EXPECT_EQ(Sum(share.Share({{Stream(1), 30}}, 200, absl::Seconds(5))), 0u);
  // It reports that it has done a part, and that more have become stale.
  EXPECT_EQ(Sum(share.Share({{Stream(1), 20}}, 200, absl::Seconds(6))), 0u);
  EXPECT_EQ(Sum(share.Share({{Stream(1), 45}}, 200, absl::Seconds(7))), 25u);
}

TEST(PermitShare, GrantsAnewWhatWasNotDoneInAmpleTime) {
  PermitShare share;
  EXPECT_EQ(Sum(share.Share({{Stream(1), 30}}, 200, absl::Seconds(1))), 30u);
  const absl::Duration later = absl::Seconds(1) + PermitShare::kWithin + PermitShare::kReportWait;
  EXPECT_EQ(Sum(share.Share({{Stream(1), 30}}, 200, later - absl::Milliseconds(1))), 0u);
  EXPECT_EQ(Sum(share.Share({{Stream(1), 30}}, 200, later)), 30u);
}

TEST(PermitShare, TakesTurnsWhereTheBudgetIsSmall) {
  PermitShare share;
  std::map<AgentStreamId, uint64_t> granted;
  for (int round = 0; round < 30; ++round) {
    for (const PermitShare::Grant& grant :
         share.Share({{Stream(1), 1000}, {Stream(2), 1000}, {Stream(3), 1000}}, 1, absl::Seconds(1 + round))) {
      granted[grant.stream] += grant.certificates;
    }
  }
  for (uint64_t i = 1; i <= 3; ++i) EXPECT_EQ(granted[Stream(i)], 10u) << i;
}

}  // namespace
}  // namespace meshca
