// Who may have another certificate by the key of the last one, and what that key signs.
#include "ca/identity/node_key.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "test/fakes/status_matchers.h"

namespace meshca {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

const absl::Time kEnd = absl::FromUnixSeconds(1800000000);

struct NodeKeyCase {
  const char* name;
  const char* reason;  // "": it may
  const char* proven;
  const char* wanted;
  absl::Duration since_end;
};

NodeRecord NodeWithKey(const char* key) {
  NodeRecord node;
  node.node = "web-1";
  node.key_sha256 = key;
  node.certificate_expires = kEnd;
  return node;
}

class NodeKeyRule : public testing::TestWithParam<NodeKeyCase> {};

TEST_P(NodeKeyRule, Judges) {
  const NodeKeyCase& one = GetParam();
  const absl::Status judged =
      JudgeNodeKey(NodeWithKey("newest"), {one.proven, absl::Hours(1)}, one.wanted, kEnd + one.since_end);
  EXPECT_THAT(judged, HasReason(one.reason)) << judged;
  EXPECT_EQ(judged.ok(), std::string(one.reason).empty());
}
INSTANTIATE_TEST_SUITE_P(
    Cases, NodeKeyRule,
    testing::Values(NodeKeyCase{"JustEnded", "", "newest", "next", absl::Seconds(1)},
                    NodeKeyCase{"AtTheEndOfTheGrace", "", "newest", "next", absl::Hours(1)},
                    NodeKeyCase{"AfterTheGrace", "REJOIN_TOO_LATE", "newest", "next",
                                absl::Hours(1) + absl::Seconds(1)},
                    NodeKeyCase{"InItsLastSecond", "REJOIN_TOO_EARLY", "newest", "next", absl::Milliseconds(999)},
                    NodeKeyCase{"ALostAnswerAgain", "", "newest", "newest", -absl::Hours(5)},
                    NodeKeyCase{"ALostAnswerFarTooLate", "REJOIN_TOO_LATE", "newest", "newest", absl::Hours(2)},
                    NodeKeyCase{"AnOlderKey", "NODE_KEY_NOT_NEWEST", "older", "next", absl::Seconds(1)},
                    NodeKeyCase{"AnOlderKeyForTheNewest", "NODE_KEY_NOT_NEWEST", "older", "newest", absl::Seconds(1)},
                    NodeKeyCase{"NoKey", "NODE_KEY_NOT_NEWEST", "", "next", absl::Seconds(1)}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(NodeKeyRules, SayWhatToDoNext) {
  const NodeRecord node = NodeWithKey("newest");
  EXPECT_THAT(JudgeNodeKey(node, {"older", absl::Hours(1)}, "next", kEnd + absl::Minutes(1)),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("meshca token create --node web-1")));
  EXPECT_THAT(JudgeNodeKey(node, {"newest", absl::Hours(1)}, "next", kEnd + absl::Hours(2)),
              StatusIs(absl::StatusCode::kUnauthenticated,
                       AllOf(HasSubstr("agents.rejoin_grace (1h)"), HasSubstr("meshca token create --node web-1"))));
  EXPECT_THAT(JudgeNodeKey(node, {"newest", absl::Hours(1)}, "next", kEnd - absl::Hours(1)),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("clock is ahead")));
}

TEST(NodeKeyStatement, IsAnotherForEachField) {
  const TrustDomain domain = *TrustDomain::Parse("a.test");
  const std::set<std::string> statements = {
      NodeKeyStatement(domain, "web-1", "challenge", "csr"),
      NodeKeyStatement(*TrustDomain::Parse("b.test"), "web-1", "challenge", "csr"),
      NodeKeyStatement(domain, "web-2", "challenge", "csr"),
      NodeKeyStatement(domain, "web-1", "another", "csr"),
      NodeKeyStatement(domain, "web-1", "challenge", "another"),
      // Where one field ends and the next begins is part of it.
      NodeKeyStatement(domain, "web-1", "challengec", "sr"),
      NodeKeyStatement(domain, "web-1challenge", "", "csr"),
  };
  EXPECT_EQ(statements.size(), 7u);
  // Neither a CSR (a SEQUENCE) nor what TLS signs (64 spaces) begins so.
  EXPECT_EQ(statements.begin()->front(), '\0');
}

}  // namespace
}  // namespace meshca
