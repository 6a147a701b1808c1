// The two kinds of holders behind one interface: SDS and the agents of nodes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "cli/server/shared_reissuer.h"
#include "test/fakes/fake_clock.h"
#include "test/fakes/memory_store.h"

namespace meshca::cli {
namespace {

class OwnKeys final : public KeyReissuer {
 public:
  Progress Reissue(absl::FunctionRef<bool(absl::string_view)>, double per_second) override {
    rate = per_second;
    return {left};
  }
  uint64_t left = 0;
  double rate = 0;
};

class CountingLink final : public AgentLink {
 public:
  void PermitReissue(const std::vector<std::string>&, uint64_t certificates) override { permitted += certificates; }
  void RenewNow(const std::vector<std::string>&, const std::vector<std::string>&) override {}
  void StopServing(const std::vector<std::string>&, const std::vector<std::string>&, absl::string_view) override {}
  void End(const absl::Status&) override {}
  uint64_t permitted = 0;
};

TEST(SharedReissuer, PartsTheBudgetByWhatEachHasLeft) {
  FakeClock clock;
  MemoryStore store;
  AgentRegistry agents(store, clock);
  OwnKeys own;
  SharedReissuer reissuer(own, agents);
  const auto is_old = [](absl::string_view id) { return id == "old"; };

  // No agent: everything is the process's own.
  own.left = 5;
  EXPECT_EQ(reissuer.Reissue(is_old, 100).left, 5u);
  EXPECT_EQ(own.rate, 100);

  ArrivedAgent arrived;
  arrived.node = "web-1";
  arrived.not_after = clock.Now() + absl::Hours(24);
  const auto link = std::make_shared<CountingLink>();
  AgentRegistry::Member member = agents.Attach(arrived, link);
  HeldReport report;
  report.certificates = 15;
  report.under = {{"old", 15}};
  member.Report(report);
  EXPECT_EQ(reissuer.Reissue(is_old, 40).left, 20u);
  EXPECT_EQ(own.rate, 10);
  EXPECT_EQ(link->permitted, 7u);

  // Nothing is left of its own: the agents have the whole budget.
  own.left = 0;
  clock.Advance(absl::Seconds(30));
  EXPECT_EQ(reissuer.Reissue(is_old, 40).left, 15u);
  EXPECT_EQ(link->permitted, 17u);
}

}  // namespace
}  // namespace meshca::cli
