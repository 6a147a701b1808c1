// What an agent keeps for its next process: opened whole by that one, and by nobody else.
#include "cli/agent/kept_keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ca/x509/encoding.h"
#include "meshca/agent/v1/kept_keys.pb.h"
#include "test/cli/agent/agent_fixture.h"
#include "test/fakes/status_matchers.h"

namespace meshca::agent {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kKeptWeb[] = "spiffe://cluster.local/web";

class KeptKeysTest : public testing::Test {
 protected:
  // A key of the ring of `id` with a certificate for `certified`, or for itself.
  sds::KeyRing::SharedKey Key(const std::string& id, absl::Duration lifetime = absl::Hours(24),
                              const AuthorityKeys* keys = nullptr, const SoftwareKey* certified = nullptr) {
    const auto key = *SoftwareKey::Generate(KeyType::kEcP256);
    const PublicKey& for_key = certified == nullptr ? key->public_key() : certified->public_key();
    std::string chain;
    for (std::string& der : (keys == nullptr ? keys_ : *keys).Leaf(for_key, id, {}, lifetime, now_)) {
      absl::StrAppend(&chain, PemEncode(kPemCertificate, Der(std::move(der))).text());
    }
    sds::SecretContent::Identity identity{*SpiffeId::Parse(id), "00", "authority", now_ + lifetime, 1, now_};
    return {id + "\n\nunix\nrest", sds::SecretContent::OfIdentity(identity, key->ToPkcs8Pem(), chain),
            now_ + lifetime / 2};
  }
  std::string Seal(const std::vector<sds::KeyRing::SharedKey>& keys) {
    return *SealKeys(keys, agent_, now_, encryption_);
  }
  absl::StatusOr<KeptKeys> Open(const std::string& sealed) {
    return OpenKeys(sealed, agent_, verifier_, now_, encryption_);
  }
  // As SealKeys would have written it.
  std::string SealMessage(const std::string& plain) {
    return absl::StrCat("meshca kept keys 1",
                        *encryption_.Seal(plain, absl::StrCat("meshca kept keys 1\n", agent_.uri())));
  }

  const absl::Time now_ = absl::Now();
  const AuthorityKeys keys_;
  const SpiffeId agent_ = *AgentId(keys_.domain, "node-1");
  const KeyEncryption encryption_ = *KeyEncryption::FromKey(SecretBytes(std::string(32, 'k')));
  const ChainVerifier verifier_{keys_.domain, {keys_.root}};
};

TEST_F(KeptKeysTest, ComeBackAsTheyWere) {
  const std::vector<sds::KeyRing::SharedKey> kept = {Key(kKeptWeb), Key("spiffe://cluster.local/db")};
  const std::string sealed = Seal(kept);
  EXPECT_FALSE(absl::StrContains(sealed, "PRIVATE KEY") || absl::StrContains(sealed, "spiffe://"));
  const absl::StatusOr<KeptKeys> opened = Open(sealed);
  ASSERT_THAT(opened, IsOk());
  EXPECT_THAT(opened->refused, ElementsAre());
  EXPECT_EQ(absl::ToUnixSeconds(opened->kept_at), absl::ToUnixSeconds(now_));
  ASSERT_EQ(opened->keys.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    const sds::KeyRing::RestoredKey& key = opened->keys[i];
    EXPECT_EQ(key.name, kept[i].name);
    EXPECT_EQ(key.id, kept[i].content->identity().id);
    EXPECT_EQ(key.key_pem.reveal(), kept[i].content->key_pem());
    EXPECT_EQ(key.svid.ChainPem(), kept[i].content->chain_pem());
    EXPECT_EQ(key.svid.authority_id, keys_.issuing.spki_sha256_hex());
    EXPECT_EQ(absl::ToUnixSeconds(key.renew_at), absl::ToUnixSeconds(kept[i].renew_at));
  }
}

TEST_F(KeptKeysTest, AreNobodyElses) {
  const std::string sealed = Seal({Key(kKeptWeb)});
  const auto cannot = StatusIs(absl::StatusCode::kDataLoss, HasSubstr("does not open"));
  const KeyEncryption other = *KeyEncryption::FromKey(SecretBytes(std::string(32, 'K')));
  EXPECT_THAT(OpenKeys(sealed, agent_, verifier_, now_, other), cannot);
  EXPECT_THAT(OpenKeys(sealed, *AgentId(keys_.domain, "node-2"), verifier_, now_, encryption_), cannot);
  EXPECT_THAT(OpenKeys(sealed, *AgentId(*TrustDomain::Parse("other.local"), "node-1"), verifier_, now_, encryption_),
              cannot);
}

TEST_F(KeptKeysTest, NamesTheVersionThatCannotBeRead) {
  std::string sealed = Seal({Key(kKeptWeb)});
  sealed[std::string("meshca kept keys ").size()] = '2';
  EXPECT_THAT(Open(sealed), StatusIs(absl::StatusCode::kInvalidArgument,
                                     AllOf(HasSubstr("another version"), HasSubstr("format 2; this one reads 1"))));
}

// Each byte in turn, every length, and bytes of chance: nothing of it is ever taken for a key.
TEST_F(KeptKeysTest, AreRefusedHoweverTheyWereDamaged) {
  const std::string sealed = Seal({Key(kKeptWeb)});
  for (size_t i = 0; i < sealed.size(); ++i) {
    std::string damaged = sealed;
    damaged[i] = static_cast<char>(damaged[i] ^ (1 << (i % 8)));
    EXPECT_FALSE(Open(damaged).ok()) << i;
    EXPECT_FALSE(Open(sealed.substr(0, i)).ok()) << i;
  }
  EXPECT_FALSE(Open(sealed + '\0').ok());
  std::mt19937 chance(11);  // NOLINT: the same each time
  for (int i = 0; i < 2000; ++i) {
    std::string any(chance() % 400, '\0');
    for (char& byte : any) byte = static_cast<char>(chance());
    EXPECT_FALSE(Open(any).ok());
    EXPECT_FALSE(Open("meshca kept keys 1" + any).ok());
    // Whoever had the key could seal anything.
    const absl::StatusOr<KeptKeys> opened = Open(SealMessage(any));
    EXPECT_TRUE(!opened.ok() || opened->keys.empty());
  }
}

TEST_F(KeptKeysTest, AreJudgedOneByOne) {
  const AuthorityKeys stranger;
  const auto other = *SoftwareKey::Generate(KeyType::kEcP256);
  sds::KeyRing::SharedKey misnamed = Key("spiffe://cluster.local/misnamed");
  misnamed.name = std::string(kKeptWeb) + "\n\nunix\nrest";
  const absl::StatusOr<KeptKeys> opened = Open(
      Seal({Key("spiffe://cluster.local/ended", -absl::Minutes(1)),
            Key("spiffe://cluster.local/stranger", absl::Hours(1), &stranger),
            Key("spiffe://cluster.local/other-key", absl::Hours(1), nullptr, other.get()), misnamed, Key(kKeptWeb)}));
  ASSERT_THAT(opened, IsOk());
  ASSERT_EQ(opened->keys.size(), 1u);
  EXPECT_EQ(opened->keys.front().id.uri(), kKeptWeb);
  EXPECT_THAT(opened->refused, ElementsAre(AllOf(HasSubstr("/ended: "), HasSubstr("its certificate ended 20")),
                                           AllOf(HasSubstr("/stranger: "), HasSubstr("what was kept is not used")),
                                           AllOf(HasSubstr("/other-key: "), HasSubstr("for another key")),
                                           AllOf(HasSubstr("/misnamed: "), HasSubstr("another identity"))));
}

// What leads to a root that was taken away since is not served again.
TEST_F(KeptKeysTest, GoByTheTrustOfToday) {
  const std::string sealed = Seal({Key(kKeptWeb)});
  const AuthorityKeys newer;
  const absl::StatusOr<KeptKeys> opened =
      OpenKeys(sealed, agent_, ChainVerifier(keys_.domain, {newer.root}), now_, encryption_);
  ASSERT_THAT(opened, IsOk());
  EXPECT_THAT(opened->keys, testing::IsEmpty());
  EXPECT_THAT(opened->refused, ElementsAre(HasSubstr(kKeptWeb)));
}

}  // namespace
}  // namespace meshca::agent
