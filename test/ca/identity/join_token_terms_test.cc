#include "ca/identity/join_token_terms.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "test/fakes/status_matchers.h"

namespace meshca {
namespace {

using absl::StatusCode;
using testing::HasSubstr;

constexpr char kAgent[] = "spiffe://cluster.local/meshca/agent/web-1";
constexpr char kWeb[] = "spiffe://cluster.local/ns/default/sa/web";

absl::StatusOr<JoinTokenTerms> Complete(const std::string& id, const std::string& node, bool replace = false) {
  JoinTokenTerms terms;
  if (!id.empty()) terms.spiffe_id = *SpiffeId::Parse(id);
  terms.node = node;
  terms.replace = replace;
  const absl::Status status = CompleteJoinTokenTerms(*TrustDomain::Parse("cluster.local"), terms);
  if (!status.ok()) return status;
  return terms;
}

TEST(JoinTokenTerms, ANodeAloneIsItsAgents) {
  for (const auto& terms : {Complete("", "web-1"), Complete(kAgent, ""), Complete(kAgent, "web-1")}) {
    ASSERT_THAT(terms, IsOk());
    EXPECT_EQ(terms->spiffe_id.uri(), kAgent);
    EXPECT_EQ(terms->node, "web-1");
    EXPECT_FALSE(terms->replace);
  }
  EXPECT_TRUE(Complete("", "web-1", true)->replace);
}

TEST(JoinTokenTerms, AWorkloadsMayNameANodeOfAnySpelling) {
  const auto terms = Complete(kWeb, "Node 7");
  ASSERT_THAT(terms, IsOk());
  EXPECT_EQ(terms->spiffe_id.uri(), kWeb);
  EXPECT_EQ(terms->node, "Node 7");
}

struct BadTerms {
  const char* name;
  const char* id;
  std::string node;
  bool replace;
  const char* reason;
  const char* words;
};

class JoinTokenTermsReject : public testing::TestWithParam<BadTerms> {};

TEST_P(JoinTokenTermsReject, SaysWhatIsWrong) {
  const auto terms = Complete(GetParam().id, GetParam().node, GetParam().replace);
  EXPECT_THAT(terms, StatusIs(StatusCode::kInvalidArgument, HasSubstr(GetParam().words)));
  EXPECT_THAT(terms, HasReason(GetParam().reason));
}

INSTANTIATE_TEST_SUITE_P(
    Rules, JoinTokenTermsReject,
    testing::Values(BadTerms{"Neither", "", "", false, "SPIFFE_ID_INVALID", "--node"},
                    BadTerms{"BadNode", "", "Web", false, "NODE_NAME", "\"Web\""},
                    BadTerms{"AnotherNode", kAgent, "web-2", false, "SPIFFE_ID_INVALID", "agent of node web-1"},
                    BadTerms{"NoNodesName", "spiffe://cluster.local/meshca/agent/a/b", "", false, "NODE_NAME", "/a/b"},
                    BadTerms{"ReplaceOfAWorkload", kWeb, "web-1", true, "TOKEN_REPLACE", "--node alone"},
                    BadTerms{"LongNode", kWeb, std::string(254, 'x'), false, "", "more than 253"},
                    BadTerms{"AnothersAgent", "spiffe://other.test/meshca/agent/web-1", "", false,
                             "SPIFFE_ID_TRUST_DOMAIN", "other.test"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(NewTokenCommand, NamesTheNodeOfAnAgentAndTheIdOfAWorkload) {
  EXPECT_EQ(NewTokenCommand(*SpiffeId::Parse(kWeb)), std::string("meshca token create ") + kWeb);
  EXPECT_EQ(NewTokenCommand(*SpiffeId::Parse(kAgent)), "meshca token create --node web-1");
}

}  // namespace
}  // namespace meshca
