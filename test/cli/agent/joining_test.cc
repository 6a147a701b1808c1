// Joining over real TLS: whom the agent believes, and what is left where it is interrupted.
#include "cli/agent/joining.h"

#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <filesystem>
#include <functional>
#include <thread>

#include "ca/base/status.h"
#include "ca/base/tcp_listen.h"
#include "ca/base/unique_fd.h"
#include "ca/identity/node_key.h"
#include "test/cli/agent/agent_fixture.h"
#include "test/fakes/closed_port.h"
#include "test/fakes/status_matchers.h"
#include "test/fakes/temp_folder.h"

namespace meshca::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class JoiningTest : public testing::Test {
 protected:
  // As a process that starts: it reads its state.
  void Restart() {
    trust_.reset();
    state_.reset();
    state_ = *AgentState::Open(folder_);
    trust_ = std::make_unique<ToldTrust>(*state_);
    EXPECT_THAT(trust_->Restore(), IsOk());
  }
  void SetUp() override { Restart(); }

  absl::StatusOr<OwnIdentityPtr> Join(const std::vector<std::string>& servers, const SecretBytes& token) {
    JoiningOptions options;
    options.servers = servers;
    options.agent_version = "0.2.0";
    options.retry_first = absl::Milliseconds(10);
    options.retry_max = absl::Milliseconds(50);
    Joining joining(options, *state_, *trust_, clock_, SystemEntropy(),
                    [this](const absl::Status& why) { tried_.push_back(why); });
    return joining.Run(token);
  }

  absl::StatusOr<OwnIdentityPtr> JoinByKey(const std::vector<std::string>& servers, const OwnIdentity& ended) {
    JoiningOptions options;
    options.servers = servers;
    return Joining(options, *state_, *trust_, clock_, SystemEntropy()).RunByKey(ended);
  }
  // Its certificate has ended, and it knows the trust.
  OwnIdentityPtr Ended() {
    EXPECT_THAT(trust_->Adopt(authority_.keys().Trust()), IsOk());
    OwnIdentityPtr ended = MakeAgent(authority_.keys(), "node-1", absl::Minutes(1), absl::Now() - absl::Hours(2));
    EXPECT_THAT(state_->SaveIdentity(*ended), IsOk());
    return ended;
  }

  const TempFolder temp_;
  const std::string folder_ = temp_ / "agent";
  const TrustingClock clock_{};
  AgentAuthority authority_;
  const SecretBytes token_ = authority_.keys().Token();
  std::unique_ptr<AgentState> state_;
  std::unique_ptr<ToldTrust> trust_;
  std::vector<absl::Status> tried_;
};

TEST_F(JoiningTest, BringsACertificateAndTheTrustAndSavesBoth) {
  std::string bearer;
  authority_.script.join = [&](const v1::JoinRequest& request, const std::string& shown) {
    bearer = shown;
    return authority_.Joined(request);
  };
  const auto joined = Join({authority_.Serve()}, token_);
  ASSERT_THAT(joined, IsOk());
  EXPECT_EQ(bearer, token_.reveal());
  EXPECT_EQ((*joined)->node, "node-1");
  EXPECT_EQ(trust_->Current()->version, 1u);
  Restart();
  EXPECT_EQ((*state_->LoadIdentity())->serial, (*joined)->serial);
  EXPECT_EQ(trust_->Current()->version, 1u);
  EXPECT_THAT(tried_, testing::IsEmpty());
}

TEST_F(JoiningTest, UsesNoTokenTwice) {
  const std::string address = authority_.Serve();
  ASSERT_THAT(Join({address}, token_), IsOk());
  Restart();
  EXPECT_THAT(Join({address}, token_), HasReason("TOKEN_SPENT"));
  EXPECT_EQ(authority_.joins_seen.count(), 1);
  EXPECT_THAT(Join({address}, authority_.keys().Token()), IsOk());
}

TEST_F(JoiningTest, RepeatsALostAnswerWithTheSameKey) {
  // The answer is lost, and the agent dies; then the disk is away when it comes.
  authority_.script.join = [&](const v1::JoinRequest&, const std::string&) -> absl::StatusOr<v1::JoinResponse> {
    return absl::InternalError("lost");
  };
  std::string address = authority_.Serve();
  EXPECT_THAT(Join({address}, token_), StatusIs(absl::StatusCode::kInternal));
  Restart();
  authority_.Kill();
  authority_.script.join = [&](const v1::JoinRequest& request, const std::string&) {
    std::filesystem::rename(folder_, folder_ + ".away");
    return authority_.Joined(request);
  };
  address = authority_.Serve();
  EXPECT_FALSE(Join({address}, token_).ok());
  std::filesystem::rename(folder_ + ".away", folder_);
  Restart();
  EXPECT_EQ(*state_->LoadIdentity(), nullptr);
  authority_.Kill();
  authority_.script.join = [&](const v1::JoinRequest& request, const std::string&) {
    return authority_.Joined(request);
  };
  ASSERT_THAT(Join({authority_.Serve()}, token_), IsOk());
  const auto keys = authority_.joining_keys();
  ASSERT_EQ(keys.size(), 3u);
  EXPECT_EQ(keys[0], keys[1]);
  EXPECT_EQ(keys[0], keys[2]);
}

TEST_F(JoiningTest, TriesServersInTurnAndAgainUntilOneAnswers) {
  const ClosedPort closed;
  int calls = 0;
  authority_.script.join = [&](const v1::JoinRequest& request, const std::string&) -> absl::StatusOr<v1::JoinResponse> {
    if (++calls < 3) return absl::UnavailableError("the database is away");
    return authority_.Joined(request);
  };
  ASSERT_THAT(Join({closed.address(), authority_.Serve()}, token_), IsOk());
  ASSERT_EQ(tried_.size(), 2u);
  EXPECT_THAT(tried_.front(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr(closed.address())));
}

TEST_F(JoiningTest, EndsWhereTheCaRefuses) {
  authority_.script.join = [&](const v1::JoinRequest&, const std::string&) -> absl::StatusOr<v1::JoinResponse> {
    return WithReason(absl::AlreadyExistsError("node-1 lives"), "NODE_LIVES");
  };
  const auto refused = Join({authority_.Serve()}, token_);
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("node-1 lives")));
  EXPECT_THAT(refused, HasReason("NODE_LIVES"));
  EXPECT_THAT(Join({"127.0.0.1:1"}, SecretBytes(std::string("meshca-jt1.short"))), HasReason("TOKEN_MALFORMED"));
}

TEST_F(JoiningTest, ShowsTheTokenToNobodyButTheCaThatMadeIt) {
  AgentAuthority stranger;
  EXPECT_THAT(Join({stranger.Serve()}, token_), HasReason("ROOT_FINGERPRINT"));
  EXPECT_EQ(stranger.joins_seen.count(), 0);
  // Nor to a workload with the CA's name.
  EXPECT_THAT(Join({authority_.Serve("spiffe://cluster.local/web")}, token_), HasReason("SERVER_IDENTITY"));
  EXPECT_EQ(authority_.joins_seen.count(), 0);
  // One that is another's by mistake does not keep it from the right one.
  authority_.Kill();
  EXPECT_THAT(Join({stranger.Serve(), authority_.Serve()}, token_), IsOk());
  EXPECT_EQ(stranger.joins_seen.count(), 0);
}

TEST_F(JoiningTest, WithATrustTakesNoTokenOfAnotherCa) {
  ASSERT_THAT(Join({authority_.Serve()}, token_), IsOk());
  AgentAuthority stranger;
  const auto refused = Join({stranger.Serve()}, stranger.keys().Token());
  EXPECT_THAT(refused, HasReason("ROOT_UNKNOWN"));
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("state directory"));
  EXPECT_EQ(stranger.joins_seen.count(), 0);
}

TEST_F(JoiningTest, KeepsNothingOfAnAnswerThatIsNotWhatWasAskedFor) {
  const auto answered_by = [&](const std::function<void(v1::JoinResponse&)>& spoil) {
    authority_.Kill();
    authority_.script.join = [this, spoil](const v1::JoinRequest& request, const std::string&) {
      v1::JoinResponse response = authority_.Joined(request);
      spoil(response);
      return response;
    };
    const absl::Status status = Join({authority_.Serve()}, token_).status();
    EXPECT_EQ(*state_->LoadIdentity(), nullptr);
    EXPECT_EQ(trust_->Current(), nullptr);
    return status;
  };
  EXPECT_THAT(answered_by([](v1::JoinResponse& r) { r.set_node("node-2"); }), HasReason("ANSWER_INVALID"));
  EXPECT_THAT(answered_by([](v1::JoinResponse& r) { r.set_trust_domain("other.test"); }),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("other.test")));
  EXPECT_THAT(answered_by([](v1::JoinResponse& r) { r.clear_chain(); }), HasReason("ANSWER_INVALID"));
  EXPECT_THAT(answered_by([](v1::JoinResponse& r) { r.clear_trust(); }), HasReason("TRUST_MALFORMED"));
  EXPECT_THAT(answered_by([](v1::JoinResponse& r) { *r.mutable_trust() = AuthorityKeys().Trust(); }),
              HasReason("ROOT_FINGERPRINT"));
}

TEST_F(JoiningTest, IsStoppedAtOnceWhateverItWaitsFor) {
  // A port that takes the connection and never says a word.
  const UniqueFd silent(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::bind(silent.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name), 0);
  ASSERT_EQ(::listen(silent.get(), 8), 0);
  const ClosedPort closed;
  const auto stop_after = [&](const std::string& address, const std::function<void(AwaitedCounter&)>& begun) {
    JoiningOptions options;
    options.servers = {address};
    options.retry_first = options.retry_max = absl::Hours(1);
    AwaitedCounter tried;
    Joining joining(options, *state_, *trust_, clock_, SystemEntropy(), [&](const absl::Status&) { tried.Add(); });
    absl::StatusOr<OwnIdentityPtr> joined;
    std::thread run([&] { joined = joining.Run(token_); });
    begun(tried);
    joining.Stop();
    run.join();
    EXPECT_THAT(joined, StatusIs(absl::StatusCode::kCancelled));
  };
  stop_after(closed.address(), [](AwaitedCounter& tried) { EXPECT_TRUE(tried.Await(1)); });
  UniqueFd taken;
  stop_after(BoundAddress(silent.get()),
             [&](AwaitedCounter&) { taken = UniqueFd(::accept(silent.get(), nullptr, nullptr)); });
}

// --- by the key of a certificate that has ended ---

// Whether `proof` is `key`'s over this request.
bool IsProofOf(const SoftwareKey& key, const v1::JoinRequest& request) {
  const v1::NodeKeyProof& proof = request.proof();
  const std::string statement =
      NodeKeyStatement(*TrustDomain::Parse("cluster.local"), proof.node(), proof.challenge(), request.csr());
  return proof.node() == "node-1" && proof.challenge() == "sign this" &&
         proof.public_key() == key.public_key().spki() &&
         key.public_key().Verify(proof.signature_algorithm(), statement, proof.signature()).ok();
}

TEST_F(JoiningTest, ByItsKeyGetsAnotherCertificateForANewKey) {
  const OwnIdentityPtr ended = Ended();
  bool proved = false;
  authority_.script.join = [&](const v1::JoinRequest& request, const std::string& bearer) {
    proved = bearer.empty() && IsProofOf(*ended->key, request);
    return authority_.Joined(request);
  };
  const auto joined = JoinByKey({authority_.Serve()}, *ended);
  ASSERT_THAT(joined, IsOk());
  EXPECT_TRUE(proved);
  EXPECT_EQ((*joined)->node, "node-1");
  EXPECT_NE((*joined)->key->public_key(), ended->key->public_key());
  Restart();
  EXPECT_EQ((*state_->LoadIdentity())->serial, (*joined)->serial);
  EXPECT_NE((*state_->JoiningKey())->public_key(), (*joined)->key->public_key()) << "the joining is over";
}

TEST_F(JoiningTest, ByItsKeySaysWhatTheCaRefuses) {
  const OwnIdentityPtr ended = Ended();
  authority_.script.challenge = [] { return v1::ChallengeResponse(); };
  EXPECT_THAT(JoinByKey({authority_.Serve()}, *ended), HasReason("REJOIN_NOT_OFFERED"));
  authority_.Kill();
  authority_.script.challenge = [] { return absl::UnimplementedError("an older CA"); };
  EXPECT_THAT(JoinByKey({authority_.Serve()}, *ended), HasReason("REJOIN_NOT_OFFERED"));
  EXPECT_EQ(authority_.joins_seen.count(), 0) << "nothing was signed for it";
  authority_.Kill();
  authority_.script.challenge = AgentAuthority().script.challenge;
  authority_.script.join = [](const v1::JoinRequest&, const std::string&) -> absl::StatusOr<v1::JoinResponse> {
    return WithReason(absl::UnauthenticatedError("too late"), "REJOIN_TOO_LATE");
  };
  const ClosedPort closed;
  EXPECT_THAT(JoinByKey({authority_.Serve(), closed.address()}, *ended), HasReason("REJOIN_TOO_LATE"))
      << "it is worth more than that another server is away";
  EXPECT_THAT(JoinByKey({closed.address()}, *ended), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ((*state_->LoadIdentity())->serial, ended->serial);
}

TEST_F(JoiningTest, ByItsKeyRepeatsALostAnswerByTheNewKey) {
  const OwnIdentityPtr ended = Ended();
  authority_.script.join = [](const v1::JoinRequest&, const std::string&) -> absl::StatusOr<v1::JoinResponse> {
    return absl::InternalError("lost");
  };
  std::string address = authority_.Serve();
  EXPECT_THAT(JoinByKey({address}, *ended), StatusIs(absl::StatusCode::kInternal));
  authority_.Kill();
  Restart();
  const auto new_key = state_->JoiningKey();
  // As the CA is that has recorded the new key.
  authority_.script.join = [&](const v1::JoinRequest& request, const std::string&) -> absl::StatusOr<v1::JoinResponse> {
    if (IsProofOf(**new_key, request)) return authority_.Joined(request);
    return WithReason(absl::UnauthenticatedError("a newer one"), "NODE_KEY_NOT_NEWEST");
  };
  address = authority_.Serve();
  const auto joined = JoinByKey({address}, *ended);
  ASSERT_THAT(joined, IsOk());
  EXPECT_EQ((*joined)->key->public_key(), (*new_key)->public_key());
  const auto keys = authority_.joining_keys();
  EXPECT_THAT(keys, testing::Each(keys.front()));
}

TEST_F(JoiningTest, ByItsKeyBelievesTheCaAlone) {
  const OwnIdentityPtr ended = Ended();
  EXPECT_THAT(JoinByKey({authority_.Serve("spiffe://cluster.local/web")}, *ended), HasReason("SERVER_IDENTITY"));
  AgentAuthority stranger;
  EXPECT_THAT(JoinByKey({stranger.Serve()}, *ended), StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_EQ(authority_.joins_seen.count() + stranger.joins_seen.count(), 0);
  authority_.Kill();
  authority_.script.join = [&](const v1::JoinRequest& request, const std::string&) {
    return authority_.Joined(request, "node-2");
  };
  EXPECT_THAT(JoinByKey({authority_.Serve()}, *ended), StatusIs(absl::StatusCode::kInternal, HasSubstr("node-2")));
}

}  // namespace
}  // namespace meshca::agent
