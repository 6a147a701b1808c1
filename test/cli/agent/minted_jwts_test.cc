// JWT-SVIDs of a node: minted once for all who ask, and for half of their life.
#include "cli/agent/minted_jwts.h"

#include <gmock/gmock.h>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "test/cli/agent/agent_fixture.h"
#include "test/fakes/fake_clock.h"
#include "test/fakes/status_matchers.h"
#include "test/fakes/temp_folder.h"

namespace meshca::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class MintedJwtsTest : public testing::Test {
 protected:
  MintedJwtsTest() { EXPECT_THAT(trust_.Adopt(keys_.Trust()), IsOk()); }

  Awaited<absl::StatusOr<HeldJwt>> Mint(const std::vector<std::string>& audiences = {"api", "db"},
                                        const std::string& id = "spiffe://cluster.local/web") {
    Awaited<absl::StatusOr<HeldJwt>> answer;
    jwts_.Mint({*SpiffeId::Parse(id), "entry-1", audiences}, answer.Setter());
    return answer;
  }
  v1::MintJwtRequest Wish() { return ca_.Read<v1::MintJwtRequest>(); }
  void Grant() { ca_.Answer(keys_.Jwt(Wish(), absl::Minutes(4), clock_.Now()).SerializeAsString()); }
  // A token that is held now.
  std::string Hold() {
    auto answer = Mint();
    if (ca_.open() > 0) Grant();
    return answer.Get()->token;
  }

  const TempFolder temp_;
  const std::unique_ptr<AgentState> state_ = *AgentState::Open(temp_ / "agent");
  const AuthorityKeys keys_;
  FakeClock clock_{absl::Now()};
  HandCaller ca_;
  ToldTrust trust_{*state_};
  MintedJwts jwts_{{.tokens_max = 3, .minting_max = 2, .waiting_max = 4}, ca_, trust_, clock_};
};

TEST_F(MintedJwtsTest, AreHandedOutAgainUntilHalfOfTheirLife) {
  auto answer = Mint();
  EXPECT_EQ(Wish().spiffe_id(), "spiffe://cluster.local/web");
  EXPECT_EQ(Wish().entry_id(), "entry-1");
  EXPECT_THAT(Wish().audiences(), ElementsAre("api", "db"));
  Grant();
  const auto token = answer.Get();
  ASSERT_THAT(token, IsOk());
  EXPECT_EQ(absl::ToUnixSeconds(token->expires_at), absl::ToUnixSeconds(clock_.Now() + absl::Minutes(4)));
  clock_.Advance(absl::Seconds(119));
  // The wall clock makes no token older or younger.
  clock_.JumpTo(clock_.Now() - absl::Hours(1));
  EXPECT_EQ(Mint({"db", "api", "db"}).Get()->token, token->token);
  EXPECT_EQ(ca_.open(), 0u);
  clock_.JumpTo(clock_.Now() + absl::Hours(1));
  clock_.Advance(absl::Seconds(2));
  auto next = Mint();
  ASSERT_EQ(ca_.open(), 1u);
  Grant();
  EXPECT_NE(next.Get()->token, token->token);
}

TEST_F(MintedJwtsTest, AreAskedForOnceByManyAndApartByOthers) {
  auto one = Mint(), other = Mint(), audience = Mint({"api"});
  EXPECT_EQ(ca_.open(), 2u);
  EXPECT_THAT(Mint({"more"}).Get(), StatusIs(absl::StatusCode::kResourceExhausted));
  Grant();
  EXPECT_EQ(one.Get()->token, other.Get()->token);
  Grant();
  EXPECT_THAT(audience.Get(), IsOk());
  for (const char* more : {"1", "2", "3"}) {
    auto token = Mint({more});
    Grant();
    EXPECT_THAT(token.Get(), IsOk());
  }
  EXPECT_EQ(jwts_.size(), 3u);
}

TEST_F(MintedJwtsTest, OfOneIdentityDriveNoneOfAnotherOut) {
  const std::string kept = Hold();
  clock_.Advance(absl::Minutes(1));
  for (int audience = 0; audience < 20; ++audience) {
    auto token = Mint({absl::StrCat(audience)}, "spiffe://cluster.local/greedy");
    Grant();
    EXPECT_THAT(token.Get(), IsOk());
  }
  EXPECT_EQ(jwts_.size(), 3u);
  EXPECT_EQ(Mint().Get()->token, kept);
}

TEST_F(MintedJwtsTest, TellTheCasRefusalAndKeepNothingOfIt) {
  auto refused = Mint(), other = Mint();
  ca_.Answer(WithReason(absl::PermissionDeniedError("the entry is gone"), "ENTRY_GONE"));
  EXPECT_THAT(refused.Get(), StatusIs(absl::StatusCode::kPermissionDenied, "the entry is gone"));
  EXPECT_THAT(other.Get(), HasReason("ENTRY_GONE"));
  EXPECT_EQ(jwts_.size(), 0u);
  EXPECT_THAT(Mint({}).Get(), HasReason("JWT_AUDIENCE_INVALID"));
}

TEST_F(MintedJwtsTest, BelieveNoTokenThatIsNotWhatWasAskedFor) {
  const auto answered_by = [&](const AuthorityKeys& keys, const std::string& id,
                               const std::vector<std::string>& audiences, absl::Time now) {
    auto answer = Mint();
    v1::MintJwtRequest wish;
    wish.set_spiffe_id(id);
    wish.mutable_audiences()->Assign(audiences.begin(), audiences.end());
    ca_.Answer(keys.Jwt(wish, absl::Minutes(4), now).SerializeAsString());
    const absl::Status status = answer.Get().status();
    EXPECT_THAT(status, HasReason("JWT_NOT_BELIEVED"));
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
    return std::string(status.message());
  };
  const std::string web = "spiffe://cluster.local/web";
  const absl::Time now = clock_.Now();
  EXPECT_THAT(answered_by(keys_, "spiffe://cluster.local/db", {"api", "db"}, now), HasSubstr("cluster.local/db"));
  EXPECT_THAT(answered_by(keys_, web, {"api", "db", "more"}, now), HasSubstr("other audiences"));
  EXPECT_THAT(answered_by(keys_, web, {"more"}, now), HasSubstr("not used"));
  EXPECT_THAT(answered_by(keys_, web, {"api", "db"}, now - absl::Hours(1)), HasSubstr("not used"));
  EXPECT_THAT(answered_by(AuthorityKeys(), web, {"api", "db"}, now), HasSubstr("not used"));
  AuthorityKeys forger;
  forger.kid = keys_.kid;
  EXPECT_THAT(answered_by(forger, web, {"api", "db"}, now), HasSubstr("not used"));
  auto answer = Mint();
  ca_.Answer(std::string("\xff"));
  EXPECT_THAT(answer.Get(), HasReason("JWT_NOT_BELIEVED"));
  EXPECT_EQ(jwts_.size(), 0u);
}

TEST_F(MintedJwtsTest, GoWithTheKeyThatSignedThem) {
  Hold();
  EXPECT_EQ(jwts_.size(), 1u);
  ASSERT_THAT(trust_.Adopt(keys_.Trust(2)), IsOk());
  EXPECT_EQ(jwts_.size(), 1u);
  v1::Trust without = keys_.Trust(3);
  without.mutable_domains(0)->clear_jwt_authorities();
  ASSERT_THAT(trust_.Adopt(without), IsOk());
  EXPECT_EQ(jwts_.size(), 0u);
}

TEST_F(MintedJwtsTest, StopWithTheirIdentity) {
  Hold();
  auto waiting = Mint({"more"});
  jwts_.StopServing({"spiffe://cluster.local/db"}, "taken back");
  EXPECT_EQ(jwts_.size(), 1u);
  jwts_.StopServing({"spiffe://cluster.local/web"}, "taken back");
  EXPECT_EQ(jwts_.size(), 0u);
  // Whether it may still have one, the CA says when it is asked again.
  EXPECT_THAT(waiting.Get(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("taken back")));
  Grant();  // comes too late for everybody
  EXPECT_EQ(jwts_.size(), 0u);
}

}  // namespace
}  // namespace meshca::agent
