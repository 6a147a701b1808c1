#include "ca/identity/node_name.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "ca/identity/entry_store.h"
#include "test/fakes/status_matchers.h"

namespace meshca {
namespace {

using absl::StatusCode;
using testing::HasSubstr;

const TrustDomain& Domain() {
  static const TrustDomain* domain = new TrustDomain(*TrustDomain::Parse("cluster.local"));
  return *domain;
}

TEST(NodeName, IsOfTheFormOfADnsName) {
  const std::string label(63, 'a');
  const std::string longest = absl::StrCat(label, ".", label, ".", label, ".", std::string(61, 'b'));
  ASSERT_EQ(longest.size(), kNodeNameBytesMax);
  for (const std::string& name : {std::string("a"), std::string("7"), std::string("web-1"), std::string("w--x"),
                                  std::string("ip-10-0-0-1.ec2.internal"), longest}) {
    EXPECT_THAT(CheckNodeName(name), IsOk()) << name;
  }
}

struct BadName {
  const char* name;
  std::string text;
  const char* rule;
};

class NodeNameReject : public testing::TestWithParam<BadName> {};

TEST_P(NodeNameReject, NamesTheRuleBroken) {
  const absl::Status refused = CheckNodeName(GetParam().text);
  EXPECT_THAT(refused, StatusIs(StatusCode::kInvalidArgument, HasSubstr(GetParam().rule)));
  EXPECT_THAT(refused, HasReason("NODE_NAME"));
  EXPECT_LT(refused.message().size(), 300u) << "what was given is cut short";
}

INSTANTIATE_TEST_SUITE_P(
    Rules, NodeNameReject,
    testing::Values(BadName{"Empty", "", "empty"}, BadName{"TooLong", std::string(254, 'a'), "more than 253"},
                    BadName{"LongLabel", std::string(64, 'a'), "more than 63"},
                    BadName{"UpperCase", "Web", "lower-case"}, BadName{"Slash", "web/1", "lower-case"},
                    BadName{"Space", "web 1", "lower-case"}, BadName{"Star", "web-*", "lower-case"},
                    BadName{"Underscore", "web_1", "lower-case"}, BadName{"Nul", std::string("web\0", 4), "lower-case"},
                    BadName{"DotFirst", ".web", "beside a dot"}, BadName{"DotLast", "web.", "beside a dot"},
                    BadName{"DotDot", "..", "beside a dot"}, BadName{"DashFirst", "-web", "begins and ends"},
                    BadName{"DashLast", "web-.x", "begins and ends"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(NodeGlob, IsANameOrAPatternOverNames) {
  for (const char* glob : {"*", "web-*", "web-?.rack?", "web-1", "-*"})
    EXPECT_THAT(CheckNodeGlob(glob), IsOk()) << glob;
  for (const std::string& glob :
       {std::string(), std::string("Web-*"), std::string("web/*"), std::string("[ab]"), std::string(254, '*')}) {
    EXPECT_THAT(CheckNodeGlob(glob), HasReason("NODE_GLOB")) << glob;
  }
}

TEST(AgentId, IsBelowThePathOfAgents) {
  const auto id = AgentId(Domain(), "web-1.rack-2");
  ASSERT_THAT(id, IsOk());
  EXPECT_EQ(id->uri(), "spiffe://cluster.local/meshca/agent/web-1.rack-2");
  EXPECT_TRUE(id->IsReserved());
  EXPECT_TRUE(IsAgentId(*id));
  EXPECT_EQ(NodeOfAgent(*id), "web-1.rack-2");
  EXPECT_THAT(AgentId(Domain(), "Web"), HasReason("NODE_NAME"));
}

TEST(AgentId, IsNoOther) {
  struct Case {
    const char* path;
    bool below;
  };
  for (const Case& c : {Case{"/ns/default/sa/web", false}, Case{"/meshca/server", false}, Case{"/meshca/agent", false},
                        Case{"/meshca/agents/web-1", false}, Case{"/meshca/agent/web-1/x", true},
                        Case{"/meshca/agent/WEB", true}, Case{"/x/meshca/agent/web-1", false}}) {
    const SpiffeId id = *SpiffeId::FromParts(Domain(), c.path);
    EXPECT_EQ(IsAgentId(id), c.below) << c.path;
    EXPECT_EQ(NodeOfAgent(id), "") << c.path;
  }
  EXPECT_FALSE(IsAgentId(SpiffeId()));
}

TEST(RegistrationEntry, IsForTheNodesThatFitAndForNoneWithoutNodes) {
  RegistrationEntry entry;
  EXPECT_FALSE(entry.ServedByAgents());
  EXPECT_FALSE(entry.IsFor("web-1"));
  entry.nodes = {"db-?", "web-*"};
  EXPECT_TRUE(entry.ServedByAgents());
  for (const char* node : {"web-1", "web-", "db-1"}) EXPECT_TRUE(entry.IsFor(node)) << node;
  for (const char* node : {"web", "xweb-1", "db-10", ""}) EXPECT_FALSE(entry.IsFor(node)) << node;
  entry.nodes = {"*"};
  EXPECT_TRUE(entry.IsFor("anything"));
  EXPECT_FALSE(entry.IsFor("")) << "what has no node is on none";
}

}  // namespace
}  // namespace meshca
