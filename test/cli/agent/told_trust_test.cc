// What an agent trusts: only what is newer, and what can be read.
#include "cli/agent/told_trust.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <functional>

#include "cli/agent/trust_message.h"
#include "test/cli/agent/agent_fixture.h"
#include "test/fakes/status_matchers.h"
#include "test/fakes/temp_folder.h"

namespace meshca::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ToldTrustTest : public testing::Test {
 protected:
  void Restart() {
    trust_.reset();
    state_.reset();
    state_ = *AgentState::Open(folder_);
    trust_ = std::make_unique<ToldTrust>(*state_);
    trust_->AddListener([this](const std::shared_ptr<const sds::Trust>& told) { told_.push_back(told->version); });
    ASSERT_THAT(trust_->Restore(), IsOk());
  }
  void SetUp() override { Restart(); }

  const TempFolder temp_;
  const std::string folder_ = temp_ / "agent";
  const AuthorityKeys keys_;
  std::unique_ptr<AgentState> state_;
  std::unique_ptr<ToldTrust> trust_;
  std::vector<uint64_t> told_;
};

TEST_F(ToldTrustTest, IsToldAndRemembered) {
  EXPECT_EQ(trust_->Current(), nullptr);
  EXPECT_EQ(trust_->verifier(), nullptr);
  ASSERT_THAT(trust_->Adopt(keys_.Trust(5)), IsOk());
  EXPECT_THAT(told_, ElementsAre(5));
  Restart();
  ASSERT_NE(trust_->Current(), nullptr);
  EXPECT_EQ(trust_->Current()->version, 5u);
  EXPECT_THAT(trust_->Current()->domains.front().roots, ElementsAre(keys_.root.der()));
  EXPECT_EQ(trust_->Current()->domains.front().jwt_keys.front().key_id, keys_.kid);
  EXPECT_EQ(trust_->trust_domain(), keys_.domain);
}

TEST_F(ToldTrustTest, NeverGoesBackNotEvenAfterARestart) {
  ASSERT_THAT(trust_->Adopt(keys_.Trust(5)), IsOk());
  const auto refused = [&] {
    EXPECT_THAT(trust_->Adopt(keys_.Trust(4)), HasReason("TRUST_OLDER"));
    v1::Trust forked = keys_.Trust(5);
    forked.mutable_domains(0)->clear_jwt_authorities();
    EXPECT_THAT(trust_->Adopt(forked), HasReason("TRUST_FORKED"));
    v1::Trust foreign = AuthorityKeys().Trust(6);
    foreign.mutable_domains(0)->set_trust_domain("other.test");
    EXPECT_THAT(trust_->Adopt(foreign), HasReason("TRUST_DOMAIN_CHANGED"));
    EXPECT_THAT(trust_->Adopt(keys_.Trust(5)), IsOk());  // the same again is no news
    EXPECT_EQ(trust_->Current()->version, 5u);
    EXPECT_THAT(trust_->Current()->domains.front().roots, ElementsAre(keys_.root.der()));
  };
  refused();
  EXPECT_THAT(told_, ElementsAre(5));
  Restart();
  refused();
  EXPECT_THAT(trust_->Adopt(keys_.Trust(7)), IsOk());
}

TEST_F(ToldTrustTest, HoldsAlthoughTheDiskCannotTakeItAndIsWrittenWhenItCan) {
  ASSERT_THAT(trust_->Adopt(keys_.Trust(5)), IsOk());
  std::filesystem::rename(folder_, folder_ + ".away");
  ASSERT_THAT(trust_->Adopt(keys_.Trust(6)), IsOk());
  EXPECT_EQ(trust_->Current()->version, 6u);
  EXPECT_FALSE(trust_->SaveAgain().ok());
  std::filesystem::rename(folder_ + ".away", folder_);
  ASSERT_THAT(trust_->SaveAgain(), IsOk());
  Restart();
  EXPECT_EQ(trust_->Current()->version, 6u);
}

struct MalformedTrust {
  const char* name;
  std::function<void(v1::Trust&)> spoil;
  const char* words;
};

class ToldTrustReject : public testing::TestWithParam<MalformedTrust> {};

TEST_P(ToldTrustReject, NamesWhatIsWrong) {
  const TempFolder temp;
  const auto state = *AgentState::Open(temp / "agent");
  ToldTrust told(*state);
  v1::Trust trust = AuthorityKeys().Trust(1);
  GetParam().spoil(trust);
  const absl::Status refused = told.Adopt(trust);
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(GetParam().words)));
  EXPECT_THAT(refused, HasReason("TRUST_MALFORMED"));
  EXPECT_EQ(told.Current(), nullptr);
  EXPECT_FALSE(state->LoadTrust()->has_value());
}

INSTANTIATE_TEST_SUITE_P(
    Trust, ToldTrustReject,
    testing::Values(
        MalformedTrust{"NoVersion", [](v1::Trust& t) { t.set_version(0); }, "no version"},
        MalformedTrust{"NoDomain", [](v1::Trust& t) { t.clear_domains(); }, "no trust domain"},
        MalformedTrust{"NoName", [](v1::Trust& t) { t.mutable_domains(0)->clear_trust_domain(); }, "trust domain"},
        MalformedTrust{"Twice", [](v1::Trust& t) { *t.add_domains() = t.domains(0); }, "cluster.local is there twice"},
        MalformedTrust{"NoRoot", [](v1::Trust& t) { t.mutable_domains(0)->clear_x509_authorities(); }, "no root"},
        MalformedTrust{"BadRoot", [](v1::Trust& t) { t.mutable_domains(0)->add_x509_authorities("x"); }, "root 2"},
        MalformedTrust{"LeafAsRoot",
                       [](v1::Trust& t) {
                         const AuthorityKeys keys;
                         t.mutable_domains(0)->add_x509_authorities(
                             keys.Leaf(keys.jwt_key->public_key(), "spiffe://cluster.local/web").front());
                       },
                       "root 2 is no CA's"},
        MalformedTrust{"TooManyRoots",
                       [](v1::Trust& t) {
                         for (int i = 0; i < 100; ++i) {
                           t.mutable_domains(0)->add_x509_authorities(t.domains(0).x509_authorities(0));
                         }
                       },
                       "101 roots"},
        MalformedTrust{"BadJwtKey",
                       [](v1::Trust& t) { t.mutable_domains(0)->mutable_jwt_authorities(0)->set_public_key("x"); },
                       "JWT key"},
        MalformedTrust{"NoKid", [](v1::Trust& t) { t.mutable_domains(0)->mutable_jwt_authorities(0)->clear_kid(); },
                       "no kid"},
        MalformedTrust{
            "KidTwice",
            [](v1::Trust& t) { *t.mutable_domains(0)->add_jwt_authorities() = t.domains(0).jwt_authorities(0); },
            "two JWT keys"}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace meshca::agent
