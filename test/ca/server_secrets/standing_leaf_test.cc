#include "ca/server_secrets/standing_leaf.h"

#include <gmock/gmock.h>

#include <functional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "test/ca/server_secrets/signed_leaf.h"
#include "test/fakes/status_matchers.h"

namespace meshca {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr char kTheSecret[] = "Secret istio-system/istiod-tls";
const absl::Time kMade = absl::FromUnixSeconds(1767323045);

class StandingLeafTest : public testing::Test {
 protected:
  StandingLeaf Make() { return *MakeStandingLeaf(issued_, *key_, IstiodNames(), kMade); }
  // The authorities of now, with something changed.
  AuthoritySnapshot With(const std::function<void(SigningAuthority& signer)>& change, bool signs = false) const {
    auto signer = std::make_shared<SigningAuthority>(*authorities_->issuing);
    change(*signer);
    AuthoritySnapshot changed = *authorities_;
    changed.authorities = {*signer};
    if (signs) {
      changed.issuing = signer;
      return changed;
    }
    auto next = std::make_shared<SigningAuthority>(*authorities_->issuing);
    next->id = "another one under the same root";
    changed.issuing = next;
    return changed;
  }

  const std::shared_ptr<const AuthoritySnapshot> authorities_ = NewSnapshot(kMade);
  const std::unique_ptr<SoftwareKey> key_ = *SoftwareKey::Generate(KeyType::kEcP256);
  const IssuedCertificate issued_ = IssueTo(*key_, authorities_, kMade);
};

TEST_F(StandingLeafTest, IsReadAsItWasMade) {
  const StandingLeaf made = Make();
  const SecretContent content = made.ContentWith("roots");
  EXPECT_EQ(content.roots_pem, "roots");
  const absl::StatusOr<StandingLeaf> read = ReadStandingLeaf(content, *authorities_);
  ASSERT_THAT(read, IsOk());
  EXPECT_EQ(read->leaf, made.leaf);
  EXPECT_THAT(read->issuers, SizeIs(1)) << "the root is left out";
  EXPECT_EQ(read->authority_id, authorities_->issuing->id);
  EXPECT_EQ(read->root_id, authorities_->issuing->root_id);
  EXPECT_EQ(read->ContentWith("roots").Digest(), content.Digest());
  EXPECT_EQ(WhyReplace(*read, IstiodNames(), *authorities_, kMade), "");
}

// Whoever may write the Secret would have us publish his own CA behind our certificate, and repair that.
TEST_F(StandingLeafTest, WhatSomebodyPutBesideTheLeafIsNotTaken) {
  const StandingLeaf made = Make();
  const std::string strangers = NewSnapshot(kMade)->issuing->certificate.pem().text();
  const std::string leaf = made.leaf.pem().text();
  const std::string issuer = made.issuers.front().pem().text();
  for (const std::string& chain : {absl::StrCat(leaf, issuer, strangers), absl::StrCat(leaf, issuer, strangers, issuer),
                                   absl::StrCat("his own words\n", leaf, "between\n", issuer),
                                   absl::StrReplaceAll(leaf + issuer, {{"\n", "\r\n"}})}) {
    const SecretBytes key = SecretBytes(absl::StrCat("words\n", made.key_pem.reveal(), "\n\n"));
    const absl::StatusOr<StandingLeaf> read = ReadStandingLeaf({chain, key.Clone(), "roots"}, *authorities_);
    ASSERT_THAT(read, IsOk()) << chain;
    EXPECT_EQ(read->ContentWith("roots").Digest(), made.ContentWith("roots").Digest()) << chain;
    EXPECT_THAT(read->issuers, SizeIs(1));
  }
}

TEST_F(StandingLeafTest, WhatDoesNotBelongTogetherIsNotRead) {
  const StandingLeaf made = Make();
  const SecretBytes other = (*SoftwareKey::Generate(KeyType::kEcP256))->ToPkcs8Pem();
  const auto why = [&](const std::string& chain, const SecretBytes& key, const AuthoritySnapshot& authorities) {
    return std::string(ReadStandingLeaf({chain, key.Clone(), ""}, authorities).status().message());
  };
  EXPECT_THAT(why(made.chain_pem, other, *authorities_), HasSubstr("its key is not that of its certificate"));
  EXPECT_THAT(why(made.leaf.pem().text(), made.key_pem, *authorities_), HasSubstr("ends with the leaf"));
  EXPECT_THAT(why(made.chain_pem, made.key_pem, *NewSnapshot(kMade)), HasSubstr("none of this CA's authorities"));
  EXPECT_NE(why("", made.key_pem, *authorities_), "");
  EXPECT_NE(why(made.chain_pem, SecretBytes(), *authorities_), "");
  EXPECT_NE(why("a stranger's", SecretBytes::CopyOf("a stranger's"), *authorities_), "");
}

TEST_F(StandingLeafTest, NoByteOfAKeyIsInAnError) {
  const StandingLeaf made = Make();
  const std::string broken = absl::StrCat(made.key_pem.reveal().substr(0, 80), "\n-----END PRIVATE KEY-----\n");
  const absl::Status status =
      ReadStandingLeaf({made.chain_pem, SecretBytes::CopyOf(broken), ""}, *authorities_).status();
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr(std::string(made.key_pem.reveal().substr(30, 20)))));
}

TEST_F(StandingLeafTest, IsReplacedForAReason) {
  StandingLeaf leaf = Make();
  const auto why = [&](absl::Time now) { return WhyReplace(leaf, IstiodNames(), *authorities_, now); };
  EXPECT_EQ(why(kMade + absl::Hours(12) - absl::Seconds(1)), "");
  EXPECT_EQ(why(kMade + absl::Hours(12)), "half of its life is over");
  EXPECT_EQ(why(kMade - absl::Hours(1)), "it is not valid yet");
  ServerNames more = IstiodNames();
  more.dns_names.push_back("istiod-canary.istio-system.svc");
  EXPECT_EQ(WhyReplace(leaf, more, *authorities_, kMade), "it is for other names");
  ServerNames other = IstiodNames();
  other.spiffe_id = Id("/ns/istio-system/sa/other");
  EXPECT_EQ(WhyReplace(leaf, other, *authorities_, kMade), "it is for other names");
}

TEST_F(StandingLeafTest, IsReplacedWithTheAuthorityThatSignedIt) {
  const StandingLeaf leaf = Make();
  const auto why = [&](const AuthoritySnapshot& now) { return WhyReplace(leaf, IstiodNames(), now, kMade); };
  const auto taint = [](SigningAuthority& signer) { signer.tainted = true; };
  EXPECT_EQ(why(With([](SigningAuthority& signer) { signer.state = AuthorityState::kOld; })), "")
      << "another one of the same root signs now";
  EXPECT_EQ(why(With([](SigningAuthority& signer) { signer.state = AuthorityState::kRetired; })),
            "the authority that signed it is retired");
  EXPECT_EQ(why(With(taint)), "the authority that signed it is tainted");
  EXPECT_EQ(why(With(taint, true)), "") << "a new one would be of the same worth";
  AuthoritySnapshot next = *NewSnapshot(kMade);
  next.authorities = {*authorities_->issuing};
  EXPECT_EQ(why(next), "another root signs now");
  next.issuing = nullptr;
  EXPECT_NE(why(next), "") << "its root is not trusted";
  next.bundle = authorities_->bundle;
  EXPECT_EQ(why(next), "") << "while nothing signs";
}

TEST_F(StandingLeafTest, StaysWhereTheInventoryKnowsItAsPublishedThere) {
  StandingLeaf leaf = *ReadStandingLeaf(Make().ContentWith(""), *authorities_);
  EXPECT_LT(leaf.issued_at, kMade);
  IssuanceRecord record = *issued_.record;
  EXPECT_THAT(CheckRecord(record, kTheSecret, leaf), IsOk());
  EXPECT_EQ(leaf.issued_at, kMade);
  const auto why = [&](const absl::StatusOr<IssuanceRecord>& found) { return CheckRecord(found, kTheSecret, leaf); };
  EXPECT_THAT(why(absl::UnavailableError("away")), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("away")));
  EXPECT_THAT(why(absl::NotFoundError("")),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("not on record")));
  const auto changed = [&](const std::function<void(IssuanceRecord&)>& change) {
    IssuanceRecord other = record;
    change(other);
    return std::string(why(other).message());
  };
  EXPECT_EQ(changed([](IssuanceRecord& r) { r.revoked_at = kMade; }), "it was revoked");
  EXPECT_THAT(changed([](IssuanceRecord& r) { r.origin.kind = OriginKind::kPod; }), HasSubstr("somebody else"));
  EXPECT_THAT(changed([](IssuanceRecord& r) { r.instance = "pod web/front"; }), HasSubstr("somebody else"));
  EXPECT_THAT(changed([](IssuanceRecord& r) { r.certificate_sha256 = "?"; }), HasSubstr("somebody else"));
}

TEST_F(StandingLeafTest, IsNotMadeOfWhatIsForOthers) {
  ServerNames other = IstiodNames();
  other.dns_names = {"a.test"};
  EXPECT_THAT(MakeStandingLeaf(issued_, *key_, other, kMade).status(),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("not for the names")));
}

}  // namespace
}  // namespace meshca
