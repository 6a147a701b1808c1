#include "ca/issuance/policy.h"

#include <string>
#include <utility>
#include <vector>

#include "ca/issuance/caller_rate_limiter.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/authn/refuses.h"

namespace meshca {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using Code = absl::StatusCode;

Policy Example() {
  PolicyRule prod;
  prod.spiffe_id_glob = "spiffe://cluster.local/ns/prod/*";
  prod.lifetime_max = absl::Hours(1);
  prod.key_types = {KeyType::kEcP256};
  prod.dns_names = {"web.prod.svc"};
  prod.issuances_per_minute = 6;
  PolicyRule rest;
  rest.spiffe_id_glob = "*";
  rest.lifetime_max = absl::Hours(12);
  return Policy::Create({prod, rest}).value();
}

SpiffeId Id(absl::string_view path) { return SpiffeId::Parse("spiffe://cluster.local" + std::string(path)).value(); }

TEST(Policy, TheFirstRuleThatFitsDecides) {
  const PolicyDecision prod = Example().Decide(CallerIdentity(), Id("/ns/prod/sa/web"));
  EXPECT_EQ(prod.lifetime_max, absl::Hours(1));
  EXPECT_TRUE(prod.AllowsKey(KeyType::kEcP256));
  EXPECT_FALSE(prod.AllowsKey(KeyType::kRsa2048));
  EXPECT_THAT(prod.dns_names, ElementsAre("web.prod.svc"));
  EXPECT_EQ(prod.issuances_per_minute, 6u);

  const PolicyDecision rest = Example().Decide(CallerIdentity(), Id("/ns/production/sa/web"));
  EXPECT_EQ(rest.lifetime_max, absl::Hours(12));
  EXPECT_TRUE(rest.AllowsKey(KeyType::kRsa2048));
  EXPECT_THAT(rest.dns_names, IsEmpty());
  EXPECT_EQ(rest.issuances_per_minute, 0u);
}

TEST(Policy, WithoutARuleNothingIsNarrowed) {
  const PolicyDecision decision = Policy().Decide(CallerIdentity(), Id("/a"));
  EXPECT_EQ(decision.lifetime_max, absl::ZeroDuration());
  EXPECT_TRUE(decision.AllowsKey(KeyType::kRsa4096));
}

TEST(Policy, TheShorterOfRuleAndCallerHolds) {
  CallerIdentity caller;
  caller.rights = {{Id("/ns/prod/sa/web"), {}, absl::Minutes(30)}, {Id("/a"), {}, absl::Hours(3)}};
  EXPECT_EQ(Example().Decide(caller, Id("/ns/prod/sa/web")).lifetime_max, absl::Minutes(30));
  caller.rights[0].lifetime_max = absl::Hours(2);
  EXPECT_EQ(Example().Decide(caller, Id("/ns/prod/sa/web")).lifetime_max, absl::Hours(1));
  EXPECT_EQ(Policy().Decide(caller, Id("/a")).lifetime_max, absl::Hours(3));
}

TEST(Policy, RefusesRulesThatCannotMatch) {
  PolicyRule good, bad;
  good.spiffe_id_glob = "*";
  bad.spiffe_id_glob = "/ns/prod/*";
  EXPECT_THAT(Policy::Create({good, bad}),
              Refuses(Code::kInvalidArgument, "POLICY_INVALID", "policy[1]: spiffe_id fits no SPIFFE ID"));
  EXPECT_THAT(Policy::Create({PolicyRule()}), Refuses(Code::kInvalidArgument, "POLICY_INVALID", "policy[0]"));
  PolicyRule negative;
  negative.spiffe_id_glob = "*";
  negative.lifetime_max = -absl::Seconds(1);
  EXPECT_THAT(Policy::Create({negative}), Refuses(Code::kInvalidArgument, "POLICY_INVALID", "negative"));
}

const absl::Time kNow = absl::FromUnixSeconds(1767323045);

TEST(CallerRateLimiter, FillsEvenlyOverTheMinute) {
  CallerRateLimiter limiter;
  for (int i = 0; i < 6; ++i) EXPECT_TRUE(limiter.Admit("a", 6, kNow).ok()) << i;
  EXPECT_THAT(limiter.Admit("a", 6, kNow),
              Refuses(Code::kResourceExhausted, "CALLER_RATE", "6 certificates a minute; the next is free in 10 s"));
  EXPECT_TRUE(limiter.Admit("b", 6, kNow).ok()) << "a bucket each";
  EXPECT_FALSE(limiter.Admit("a", 6, kNow + absl::Seconds(9)).ok());
  EXPECT_TRUE(limiter.Admit("a", 6, kNow + absl::Seconds(10)).ok());
  EXPECT_FALSE(limiter.Admit("a", 6, kNow + absl::Seconds(10)).ok());
}

TEST(CallerRateLimiter, IsOffAtZero) {
  CallerRateLimiter limiter;
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(limiter.Admit("a", 0, kNow).ok());
}

TEST(CallerRateLimiter, AClockSetBackGivesNothingAndTakesNothing) {
  CallerRateLimiter limiter;
  ASSERT_TRUE(limiter.Admit("a", 1, kNow).ok());
  EXPECT_FALSE(limiter.Admit("a", 1, kNow - absl::Hours(1)).ok());
  EXPECT_TRUE(limiter.Admit("a", 1, kNow - absl::Minutes(59)).ok());
}

TEST(CallerRateLimiter, ForgetsTheCallerNotHeardForLongest) {
  CallerRateLimiter limiter(2);
  ASSERT_TRUE(limiter.Admit("a", 1, kNow).ok());
  ASSERT_TRUE(limiter.Admit("b", 1, kNow).ok());
  EXPECT_FALSE(limiter.Admit("a", 1, kNow).ok());  // heard again
  ASSERT_TRUE(limiter.Admit("c", 1, kNow).ok());   // pushes b out
  EXPECT_FALSE(limiter.Admit("a", 1, kNow).ok());
  EXPECT_TRUE(limiter.Admit("b", 1, kNow).ok());
}

}  // namespace
}  // namespace meshca
