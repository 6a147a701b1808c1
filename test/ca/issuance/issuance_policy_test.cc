#include "ca/issuance/issuance_policy.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/authn/refuses.h"
#include "test/ca/issuance/test_ca.h"
#include "test/fakes/fake_clock.h"
#include "test/fakes/status_matchers.h"

namespace meshca {
namespace {

using Code = absl::StatusCode;

Policy OneRule(PolicyRule rule) {
  rule.spiffe_id_glob = "spiffe://cluster.local/ns/default/*";
  return Policy::Create({std::move(rule)}).value();
}

class IssuancePolicyTest : public testing::Test {
 protected:
  IssuanceRequest Request(absl::string_view path = "/ns/default/sa/web") const {
    IssuanceRequest request;
    request.caller = WebCaller();
    request.spiffe_id = Id(path);
    request.public_key = key->public_key();
    return request;
  }

  FakeClock clock;
  const std::unique_ptr<SoftwareKey> key = *SoftwareKey::Generate(KeyType::kEcP256);
};

TEST_F(IssuancePolicyTest, AKeyTypeThatTheRuleDoesNotListIsRefusedByName) {
  PolicyRule rule;
  rule.key_types = {KeyType::kRsa2048};
  IssuancePolicy policy(OneRule(rule), clock);
  IssuanceRequest request = Request();
  EXPECT_THAT(policy.Apply(request), Refuses(Code::kInvalidArgument, "KEY_TYPE", "/ns/default/sa/web"));
  IssuanceRequest elsewhere = Request("/ns/other/sa/web");
  EXPECT_THAT(policy.Apply(elsewhere), IsOk());
}

TEST_F(IssuancePolicyTest, TheRulesLifetimeBecomesTheRequests) {
  PolicyRule rule;
  rule.lifetime_max = absl::Hours(1);
  IssuancePolicy policy(OneRule(rule), clock);
  IssuanceRequest request = Request();
  ASSERT_THAT(policy.Apply(request), IsOk());
  EXPECT_EQ(request.lifetime_max, absl::Hours(1));
}

TEST_F(IssuancePolicyTest, TheRateIsCountedForEachCallerAndIdentity) {
  PolicyRule rule;
  rule.issuances_per_minute = 1;
  IssuancePolicy policy(OneRule(rule), clock);
  IssuanceRequest first = Request();
  EXPECT_THAT(policy.Apply(first), IsOk());
  IssuanceRequest again = Request();
  EXPECT_THAT(policy.Apply(again), Refuses(Code::kResourceExhausted, "CALLER_RATE", ""));
  IssuanceRequest another = Request("/ns/default/sa/db");
  EXPECT_THAT(policy.Apply(another), IsOk());
  clock.Advance(absl::Minutes(1));
  IssuanceRequest later = Request();
  EXPECT_THAT(policy.Apply(later), IsOk());
}

TEST_F(IssuancePolicyTest, DnsNamesAreAllowedByTheRuleAlone) {
  PolicyRule rule;
  rule.dns_names = {"web.shop.svc"};
  IssuancePolicy policy(OneRule(rule), clock);
  EXPECT_TRUE(policy.AllowsDnsName(WebCaller(), Id("/ns/default/sa/web"), "web.shop.svc"));
  EXPECT_FALSE(policy.AllowsDnsName(WebCaller(), Id("/ns/default/sa/web"), "db.shop.svc"));
  EXPECT_FALSE(policy.AllowsDnsName(WebCaller(), Id("/ns/other/sa/web"), "web.shop.svc"));
  EXPECT_FALSE(IssuancePolicy(Policy(), clock).AllowsDnsName(WebCaller(), Id("/ns/default/sa/web"), "web.shop.svc"));
}

TEST_F(IssuancePolicyTest, ARuleThatWasReplacedHoldsNobodyAnyMore) {
  PolicyRule rule;
  rule.key_types = {KeyType::kRsa2048};
  IssuancePolicy policy(OneRule(rule), clock);
  policy.Replace(Policy());
  IssuanceRequest request = Request();
  EXPECT_THAT(policy.Apply(request), IsOk());
}

}  // namespace
}  // namespace meshca
