// Whom an agent takes for its CA.
#include "cli/agent/server_judge.h"

#include <gmock/gmock.h>

#include "ca/base/entropy.h"
#include "ca/x509/authority_builder.h"
#include "cli/agent/trust_message.h"
#include "test/cli/agent/agent_fixture.h"
#include "test/fakes/fake_clock.h"
#include "test/fakes/status_matchers.h"

namespace meshca::agent {
namespace {

using ::testing::HasSubstr;

class ServerJudgeTest : public testing::Test {
 protected:
  // The chain of a meshca server, with or without its root.
  std::string Server(const std::vector<std::string>& dns_names, bool with_root = false,
                     const std::vector<std::string>& ip_addresses = {}) const {
    const auto key = *SoftwareKey::Generate(KeyType::kEcP256);
    const Certificate leaf =
        *BuildServerCertificate(keys_.domain, key->public_key(), {dns_names, ip_addresses}, keys_.issuing,
                                *keys_.issuing_key, clock_.Now(), absl::Hours(1), absl::Hours(24), SystemEntropy());
    return leaf.pem().text() + keys_.issuing.pem().text() + (with_root ? keys_.root.pem().text() : "");
  }
  std::string Workload(const std::string& id) const {
    std::string pem;
    for (const std::string& der : keys_.Leaf(keys_.jwt_key->public_key(), id, {"ca.test"})) {
      pem += PemEncode(kPemCertificate, der).text();
    }
    return pem + keys_.root.pem().text();
  }
  std::shared_ptr<const ChainVerifier> Known() const {
    return std::make_shared<const ChainVerifier>(keys_.domain, std::vector<Certificate>{keys_.root});
  }
  absl::Status ByTrust(const std::string& chain, const std::string& address = "ca.test:15012") const {
    return ServerJudge(Known(), address, clock_).Judge(chain);
  }
  absl::Status ByFingerprint(const std::string& chain, const std::string& address = "ca.test:15012") const {
    return ServerJudge(keys_.root.public_key().sha256(), address, clock_).Judge(chain);
  }

  FakeClock clock_{absl::Now()};
  const AuthorityKeys keys_;
};

TEST_F(ServerJudgeTest, BelievesTheServerOfAKnownRootByNameAndId) {
  EXPECT_THAT(ByTrust(Server({"ca.test"})), IsOk());
  EXPECT_THAT(ByTrust(Server({"CA.test"})), IsOk());
  EXPECT_THAT(ByTrust(Server({}, false, {"192.0.2.7"}), "192.0.2.7:15012"), IsOk());
  EXPECT_THAT(ByTrust(Server({"istiod.istio-system.svc"}), "192.0.2.7:15012"), IsOk());
}

TEST_F(ServerJudgeTest, BelievesNoWorkloadThatHasAName) {
  const absl::Status refused = ByTrust(Workload("spiffe://cluster.local/ns/default/sa/web"));
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("sa/web")));
  EXPECT_THAT(refused, HasReason("SERVER_IDENTITY"));
  EXPECT_THAT(ByTrust(Workload("spiffe://cluster.local/meshca/agent/node-1")), HasReason("SERVER_IDENTITY"));
  EXPECT_THAT(ByTrust(Workload("spiffe://cluster.local/meshca/server/x")), HasReason("SERVER_IDENTITY"));
  EXPECT_THAT(ByFingerprint(Workload("spiffe://cluster.local/web")), HasReason("SERVER_IDENTITY"));
}

TEST_F(ServerJudgeTest, BelievesNobodyUnderAnotherNameRootOrTime) {
  EXPECT_THAT(ByTrust(Server({"other.test"})),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("not for ca.test but for other.test")));
  EXPECT_THAT(ByTrust(Server({"other.test"})), HasReason("SERVER_NAME"));
  EXPECT_THAT(ByTrust(Server({"other.test"}), "192.0.2.7:15012"), HasReason("SERVER_NAME"));
  const AuthorityKeys stranger;
  EXPECT_THAT(ServerJudge(std::make_shared<const ChainVerifier>(keys_.domain, std::vector<Certificate>{stranger.root}),
                          "ca.test:15012", clock_)
                  .Judge(Server({"ca.test"}, true)),
              HasReason("PEER_UNTRUSTED"));
  EXPECT_THAT(ByTrust("garbage"), HasReason("PEER_CHAIN_MALFORMED"));
  const std::string chain = Server({"ca.test"});
  clock_.Advance(absl::Hours(25));
  EXPECT_THAT(ByTrust(chain), HasReason("PEER_EXPIRED"));
}

TEST_F(ServerJudgeTest, FindsTheRootOfATokenByItsKey) {
  ServerJudge judge(keys_.root.public_key().sha256(), "ca.test:15012", clock_);
  EXPECT_THAT(judge.last_verdict(), IsOk());
  EXPECT_THAT(judge.Judge(Server({"ca.test"}, /*with_root=*/false)), HasReason("ROOT_FINGERPRINT"));
  EXPECT_THAT(judge.last_verdict(), HasReason("ROOT_FINGERPRINT"));
  EXPECT_TRUE(judge.trust_domain().empty());
  EXPECT_THAT(judge.Judge(Server({"ca.test"}, /*with_root=*/true)), IsOk());
  EXPECT_THAT(judge.last_verdict(), IsOk());
  EXPECT_EQ(judge.trust_domain(), keys_.domain);
  EXPECT_THAT(ByFingerprint(Server({"other.test"}, true)), HasReason("SERVER_NAME"));
  // A chain that merely shows the root beside it, as anybody can, leads to it by no signature.
  const AuthorityKeys stranger;
  std::string posing;
  for (const std::string& der : stranger.Leaf(stranger.jwt_key->public_key(), "spiffe://cluster.local/meshca/server")) {
    posing += PemEncode(kPemCertificate, der).text();
  }
  EXPECT_THAT(ByFingerprint(posing + keys_.root.pem().text()), HasReason("PEER_UNTRUSTED"));
}

}  // namespace
}  // namespace meshca::agent
