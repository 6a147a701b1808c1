// The state directory: what survives, and who can get at it.
#include "cli/agent/agent_state.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "test/cli/agent/agent_fixture.h"
#include "test/fakes/status_matchers.h"
#include "test/fakes/temp_folder.h"

namespace meshca::agent {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

mode_t ModeOf(const std::string& path) {
  struct stat info = {};
  EXPECT_EQ(::stat(path.c_str(), &info), 0) << path;
  return info.st_mode & 0777;
}

class AgentStateTest : public testing::Test {
 protected:
  void Reopen() {
    state_.reset();
    auto opened = AgentState::Open(folder_);
    ASSERT_THAT(opened, IsOk());
    state_ = *std::move(opened);
  }
  void SetUp() override { Reopen(); }

  const TempFolder temp_;
  const std::string folder_ = temp_ / "made/agent";
  const AuthorityKeys keys_;
  std::unique_ptr<AgentState> state_;
};

TEST_F(AgentStateTest, KeepsKeyAndCertificateOverARestartForNobodyElseToRead) {
  EXPECT_EQ(*state_->LoadIdentity(), nullptr);
  const OwnIdentityPtr agent = MakeAgent(keys_);
  ASSERT_THAT(state_->SaveIdentity(*agent), IsOk());
  Reopen();
  const auto loaded = state_->LoadIdentity();
  ASSERT_THAT(loaded, IsOk());
  EXPECT_EQ((*loaded)->id.uri(), "spiffe://cluster.local/meshca/agent/node-1");
  EXPECT_EQ((*loaded)->node, "node-1");
  EXPECT_EQ((*loaded)->serial, agent->serial);
  EXPECT_EQ((*loaded)->validity, agent->validity);
  EXPECT_EQ((*loaded)->key->public_key(), agent->key->public_key());
  EXPECT_EQ((*loaded)->chain.ToPem(), agent->chain.ToPem());
  EXPECT_EQ(ModeOf(folder_), 0700u);
  EXPECT_EQ(ModeOf(folder_ + "/identity.pem"), 0600u);
}

TEST_F(AgentStateTest, AFolderNamedByMistakeKeepsItsModeAndACasIsNone) {
  const std::string shared = temp_ / "shared";
  fs::create_directory(shared);
  std::ofstream(shared + "/somebody's") << "x";
  ASSERT_EQ(::chmod(shared.c_str(), 0755), 0);
  EXPECT_THAT(AgentState::Open(shared).status(),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("chmod 700 " + shared)));
  EXPECT_EQ(ModeOf(shared), 0755u);

  const std::string of_ca = temp_ / "ca";
  fs::create_directory(of_ca);
  std::ofstream(of_ca + "/meshca.db") << "x";
  EXPECT_THAT(AgentState::Open(of_ca).status(), HasReason("STATE_OF_CA"));

  state_.reset();
  ASSERT_EQ(::chmod(folder_.c_str(), 0755), 0);
  std::ofstream(folder_ + "/identity.pem") << "";
  ASSERT_EQ(::chmod((folder_ + "/identity.pem").c_str(), 0600), 0);
  EXPECT_THAT(AgentState::Open(folder_), IsOk());
  EXPECT_EQ(ModeOf(folder_), 0700u) << "its own is set back";
}

TEST_F(AgentStateTest, KeepsTheOldIdentityWhereTheNewOneCannotBeWritten) {
  const OwnIdentityPtr first = MakeAgent(keys_);
  ASSERT_THAT(state_->SaveIdentity(*first), IsOk());
  fs::rename(folder_, folder_ + ".away");
  EXPECT_FALSE(state_->SaveIdentity(*MakeAgent(keys_)).ok());
  fs::rename(folder_ + ".away", folder_);
  EXPECT_EQ((*state_->LoadIdentity())->serial, first->serial);
}

TEST_F(AgentStateTest, JoinsWithOneKeyUntilTheTokenIsSpent) {
  const auto key = state_->JoiningKey();
  ASSERT_THAT(key, IsOk());
  EXPECT_EQ(ModeOf(folder_ + "/joining-key.pem"), 0600u);
  Reopen();
  EXPECT_EQ((*state_->JoiningKey())->public_key(), (*key)->public_key());

  const std::string token(32, 't'), other(32, 'o');
  EXPECT_FALSE(*state_->IsSpent(token));
  ASSERT_THAT(state_->EndJoining(token), IsOk());
  ASSERT_THAT(state_->EndJoining(other), IsOk());
  Reopen();
  EXPECT_TRUE(*state_->IsSpent(token));
  EXPECT_TRUE(*state_->IsSpent(other));
  EXPECT_FALSE(*state_->IsSpent(std::string(32, 'x')));
  EXPECT_FALSE((*state_->JoiningKey())->public_key() == (*key)->public_key());
}

TEST_F(AgentStateTest, LeavesNoKeyThatHasJoinedBesideTheIdentity) {
  std::shared_ptr<const SoftwareKey> key = *state_->JoiningKey();
  ASSERT_THAT(state_->EndJoiningOf(*MakeAgent(keys_)), IsOk());
  EXPECT_TRUE(fs::exists(folder_ + "/joining-key.pem")) << "it is another one that joins";
  std::vector<Certificate> chain;
  for (std::string& der : keys_.Leaf(key->public_key(), "spiffe://cluster.local/meshca/agent/node-1")) {
    chain.push_back(*Certificate::Parse(Der(std::move(der))));
  }
  const OwnIdentityPtr joined = *MakeOwnIdentity(std::move(key), *CertificateChain::Make(chain));
  ASSERT_THAT(state_->EndJoiningOf(*joined), IsOk());
  EXPECT_FALSE(fs::exists(folder_ + "/joining-key.pem"));
  EXPECT_THAT(state_->EndJoiningOf(*joined), IsOk());
}

TEST_F(AgentStateTest, IsOneAgentsAlone) {
  EXPECT_THAT(AgentState::Open(folder_), StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("another agent")));
  EXPECT_THAT(AgentState::Open(folder_), HasReason("STATE_IN_USE"));
}

TEST_F(AgentStateTest, ClearsAwayKeysThatAnInterruptedWriteLeft) {
  state_.reset();
  std::ofstream(folder_ + "/identity.pem.new-0123456789abcdef") << "a private key";
  ::chmod(folder_.c_str(), 0755);
  Reopen();
  EXPECT_FALSE(fs::exists(folder_ + "/identity.pem.new-0123456789abcdef"));
  EXPECT_EQ(ModeOf(folder_), 0700u);
}

TEST_F(AgentStateTest, SaysWhatToDoWithAFileThatIsNone) {
  for (const char* name : {"identity.pem", "trust.bin", "joining-key.pem"}) {
    std::ofstream(folder_ + "/" + name) << "\xff not what it was";
    ::chmod((folder_ + "/" + name).c_str(), 0600);
  }
  const auto names_the_file = [](const char* name) {
    return StatusIs(absl::StatusCode::kDataLoss, AllOf(HasSubstr(name), HasSubstr("token create")));
  };
  EXPECT_THAT(state_->LoadIdentity(), names_the_file("identity.pem"));
  EXPECT_THAT(state_->LoadTrust(), names_the_file("trust.bin"));
  EXPECT_THAT(state_->JoiningKey(), names_the_file("joining-key.pem"));
}

TEST(OwnIdentity, IsAKeyAndItsOwnCertificateOfAnAgent) {
  const AuthorityKeys keys;
  const OwnIdentityPtr one = MakeAgent(keys), other = MakeAgent(keys);
  EXPECT_THAT(MakeOwnIdentity(one->key, other->chain),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("another key")));
  EXPECT_THAT(ReadOwnIdentity(other->key->ToPkcs8Pem().reveal()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no certificate")));
  EXPECT_EQ(AgentId(keys.domain, "web-1")->uri(), "spiffe://cluster.local/meshca/agent/web-1");
  EXPECT_FALSE(NodeOf(*SpiffeId::Parse("spiffe://cluster.local/web")).ok());
  EXPECT_FALSE(NodeOf(*SpiffeId::Parse("spiffe://cluster.local/meshca/agent/a/b")).ok());
}

}  // namespace
}  // namespace meshca::agent
