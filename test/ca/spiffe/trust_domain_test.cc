#include "ca/spiffe/trust_domain.h"

#include <string>

#include "ca/base/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace meshca {
namespace {

using ::testing::HasSubstr;

struct TrustDomainCase {
  const char* name;
  std::string text;
  const char* rule;
};

class TrustDomainReject : public testing::TestWithParam<TrustDomainCase> {};

TEST_P(TrustDomainReject, NamesTheRuleBroken) {
  const absl::Status status = TrustDomain::Parse(GetParam().text).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReasonOf(status), "TRUST_DOMAIN_INVALID");
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().rule));
}

INSTANTIATE_TEST_SUITE_P(SpiffeIdSpec21, TrustDomainReject,
                         testing::Values(TrustDomainCase{"Empty", "", "is empty"},
                                         TrustDomainCase{"TooLong", std::string(256, 'a'), "255"},
                                         TrustDomainCase{"Slash", "a.test/x", "'/'"},
                                         TrustDomainCase{"Url", "spiffe://a.test", "has a byte"},
                                         TrustDomainCase{"Unicode", "b\xc3\xbc.test", "'\\xc3'"}),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(TrustDomain, StoresLowerCase) {
  EXPECT_EQ(TrustDomain::Parse("Cluster.LOCAL")->name(), "cluster.local");
  EXPECT_EQ(*TrustDomain::Parse("A.test"), *TrustDomain::Parse("a.test"));
  EXPECT_TRUE(TrustDomain::Parse(std::string(255, 'a')).ok());
}

TEST(TrustDomain, IdGoesThereAndBack) {
  const TrustDomain domain = *TrustDomain::Parse("cluster.local");
  EXPECT_EQ(domain.Id(), "spiffe://cluster.local");
  EXPECT_EQ(*TrustDomain::ParseId("SPIFFE://Cluster.local"), domain);
  EXPECT_FALSE(TrustDomain::ParseId("cluster.local").ok());
  EXPECT_FALSE(TrustDomain::ParseId("spiffe://cluster.local/x").ok());
}

}  // namespace
}  // namespace meshca
