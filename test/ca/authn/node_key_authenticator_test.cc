// Agents that prove to have a key: the challenge, the signature, the inventory.
#include "ca/authn/node_key_authenticator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <future>
#include <map>
#include <memory>
#include <string>

#include "ca/base/entropy.h"
#include "ca/x509/signing_key.h"
#include "test/fakes/fake_clock.h"
#include "test/fakes/status_matchers.h"

namespace meshca {
namespace {

using ::testing::HasSubstr;

// Nodes that a test names.
class NamedNodes final : public NodeStore {
 public:
  absl::StatusOr<NodeRecord> FindNode(absl::string_view node) override {
    if (!broken.ok()) return broken;
    const auto found = nodes.find(std::string(node));
    if (found == nodes.end()) return absl::NotFoundError("no such node");
    return found->second;
  }
  absl::StatusOr<std::vector<NodeRecord>> ListNodes() override { return absl::UnimplementedError("unused"); }
  absl::StatusOr<NodeBan> BanNode(absl::string_view, absl::string_view, const AuditEntry&) override {
    return absl::UnimplementedError("unused");
  }
  absl::Status ForgetNode(absl::string_view, const AuditEntry&) override { return absl::UnimplementedError("unused"); }
  std::map<std::string, NodeRecord> nodes;
  absl::Status broken;
};

class NodeKeyAuthenticatorTest : public testing::Test {
 protected:
  NodeKeyAuthenticatorTest() {
    NodeRecord node;
    node.node = "web-1";
    node.token_id = "t1";
    node.certificate_serial = "0a";
    node.key_sha256 = key_->public_key().sha256();
    node.certificate_expires = clock_.Now() - absl::Minutes(1);
    nodes_.nodes["web-1"] = node;
  }

  std::unique_ptr<NodeKeyAuthenticator> Make(absl::Duration grace) {
    return std::make_unique<NodeKeyAuthenticator>(nodes_, domain_, clock_, SystemEntropy(),
                                                  NodeKeyAuthenticator::Options{.grace = grace});
  }
  NodeKeyClaim Claim(const SoftwareKey& key, const std::string& challenge, uint64_t connection = 1) const {
    NodeKeyClaim claim;
    claim.proof.node = "web-1";
    claim.proof.public_key = std::string(key.public_key().spki());
    claim.proof.challenge = challenge;
    claim.proof.signature_algorithm = std::string(key.signature_algorithm());
    claim.csr = "the CSR";
    claim.proof.signature = *key.Sign(NodeKeyStatement(domain_, "web-1", challenge, claim.csr));
    claim.connection_id = connection;
    claim.source = "192.0.2.7";
    return claim;
  }
  absl::StatusOr<CallerIdentity> Judged(NodeKeyClaim claim) { return Judged(*authenticator_, std::move(claim)); }
  static absl::StatusOr<CallerIdentity> Judged(NodeKeyAuthenticator& authenticator, NodeKeyClaim claim) {
    std::promise<absl::StatusOr<CallerIdentity>> judged;
    authenticator.Authenticate(std::move(claim),
                               [&](absl::StatusOr<CallerIdentity> caller) { judged.set_value(std::move(caller)); });
    return judged.get_future().get();
  }

  FakeClock clock_;
  NamedNodes nodes_;
  const TrustDomain domain_ = *TrustDomain::Parse("cluster.local");
  const std::unique_ptr<SoftwareKey> key_ = *SoftwareKey::Generate(KeyType::kEcP256);
  const std::unique_ptr<NodeKeyAuthenticator> authenticator_ = Make(absl::Hours(1));
};

TEST_F(NodeKeyAuthenticatorTest, TheKeyOfTheNewestCertificateIsTheAgent) {
  const auto caller = Judged(Claim(*key_, authenticator_->MakeChallenge(1)));
  ASSERT_THAT(caller, IsOk());
  EXPECT_EQ(caller->method, AuthMethod::kNodeKey);
  ASSERT_EQ(caller->ids.size(), 1u);
  EXPECT_EQ(caller->ids[0].uri(), "spiffe://cluster.local/meshca/agent/web-1");
  EXPECT_EQ(caller->node, "web-1");
  EXPECT_EQ(caller->parent_serial, "0a");
  EXPECT_EQ(caller->origin, (Origin{OriginKind::kJoinToken, "t1"}));
  EXPECT_EQ(caller->node_key, (ProvenNodeKey{key_->public_key().sha256(), absl::Hours(1)}));
}

TEST_F(NodeKeyAuthenticatorTest, AChallengeCountsOnItsConnectionAndForAMinute) {
  const std::string challenge = authenticator_->MakeChallenge(1);
  EXPECT_THAT(Judged(Claim(*key_, challenge, 2)), HasReason("CHALLENGE_ENDED"));
  EXPECT_THAT(Judged(*Make(absl::Hours(1)), Claim(*key_, challenge)), HasReason("CHALLENGE_ENDED"))
      << "another process, or this one before its restart";
  std::string changed = challenge;
  changed[3] ^= 1;
  EXPECT_THAT(Judged(Claim(*key_, changed)), HasReason("CHALLENGE_ENDED"));
  EXPECT_THAT(Judged(Claim(*key_, "")), HasReason("CHALLENGE_ENDED"));
  clock_.Advance(absl::Seconds(59));
  EXPECT_THAT(Judged(Claim(*key_, challenge)), IsOk());
  clock_.Advance(absl::Seconds(1));
  EXPECT_THAT(Judged(Claim(*key_, challenge)), HasReason("CHALLENGE_ENDED"));
}

TEST_F(NodeKeyAuthenticatorTest, AProofIsForItsNodeItsCsrAndItsChallenge) {
  struct Case {
    const char* name;
    const char* reason;
    std::function<void(NodeKeyClaim&)> change;
  };
  const auto other = *SoftwareKey::Generate(KeyType::kEcP256);
  nodes_.nodes["web-2"] = nodes_.nodes["web-1"];
  const std::string another_challenge = authenticator_->MakeChallenge(1);
  clock_.Advance(absl::Seconds(1));
  const Case cases[] = {
      {"AnotherCsr", "NODE_KEY_PROOF", [](NodeKeyClaim& claim) { claim.csr = "another"; }},
      {"AnotherChallenge", "NODE_KEY_PROOF", [&](NodeKeyClaim& claim) { claim.proof.challenge = another_challenge; }},
      {"AnotherNodeWithTheKey", "NODE_KEY_PROOF", [](NodeKeyClaim& claim) { claim.proof.node = "web-2"; }},
      {"AnUnknownNode", "NODE_KEY_NOT_NEWEST", [](NodeKeyClaim& claim) { claim.proof.node = "web-3"; }},
      {"NoNodesName", "NODE_NAME", [](NodeKeyClaim& claim) { claim.proof.node = "../web"; }},
      {"AnotherKey", "NODE_KEY_NOT_NEWEST",
       [&](NodeKeyClaim& claim) { claim.proof.public_key = std::string(other->public_key().spki()); }},
      {"AnothersSignature", "NODE_KEY_PROOF",
       [&](NodeKeyClaim& claim) {
         claim.proof.signature =
             *other->Sign(NodeKeyStatement(domain_, claim.proof.node, claim.proof.challenge, claim.csr));
       }},
      {"NoSignature", "NODE_KEY_PROOF", [](NodeKeyClaim& claim) { claim.proof.signature = ""; }},
      {"AnotherAlgorithm", "NODE_KEY_PROOF", [](NodeKeyClaim& claim) { claim.proof.signature_algorithm = "no DER"; }},
      {"FarTooLong", "NODE_KEY_PROOF", [](NodeKeyClaim& claim) { claim.proof.signature = std::string(5000, 's'); }},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    NodeKeyClaim claim = Claim(*key_, authenticator_->MakeChallenge(1));
    c.change(claim);
    const auto refused = Judged(std::move(claim));
    EXPECT_FALSE(refused.ok());
    EXPECT_THAT(refused, HasReason(c.reason)) << refused.status();
  }
}

TEST_F(NodeKeyAuthenticatorTest, EndsWithTheGraceByAClockThatIsBelieved) {
  const auto claim = [this] { return Claim(*key_, authenticator_->MakeChallenge(1)); };
  clock_.JumpInDoubt(clock_.Now() - absl::Hours(3));
  EXPECT_THAT(Judged(claim()), HasReason("CLOCK_NOT_BELIEVED"));
  clock_.JumpBack();
  EXPECT_THAT(Judged(claim()), IsOk());
  clock_.Advance(absl::Hours(1));
  EXPECT_THAT(Judged(claim()), HasReason("REJOIN_TOO_LATE"));
}

TEST_F(NodeKeyAuthenticatorTest, OffersNothingWithoutAGrace) {
  const auto off = Make(absl::ZeroDuration());
  EXPECT_FALSE(off->offered());
  const auto refused = Judged(*off, Claim(*key_, off->MakeChallenge(1)));
  EXPECT_THAT(refused, HasReason("REJOIN_OFF"));
  EXPECT_THAT(refused.status().message(), HasSubstr("meshca token create --node"));
}

TEST_F(NodeKeyAuthenticatorTest, AnswersWhereTheStoreIsAwayAndWhereItStops) {
  nodes_.broken = absl::UnavailableError("the database is away");
  EXPECT_THAT(Judged(Claim(*key_, authenticator_->MakeChallenge(1))), StatusIs(absl::StatusCode::kUnavailable));
  nodes_.broken = absl::OkStatus();
  authenticator_->Stop();
  EXPECT_THAT(Judged(Claim(*key_, authenticator_->MakeChallenge(1))), StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace meshca
