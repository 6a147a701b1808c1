#include "ca/issuance/jwt_minter.h"

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/jwt/jwt_svid.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace meshca {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const absl::Time kMintedAt = absl::FromUnixSeconds(1767323045) + absl::Milliseconds(700);

SpiffeId MintedId(absl::string_view uri = "spiffe://td.test/web") { return SpiffeId::Parse(uri).value(); }

// One snapshot, with a key that signs or without.
class OneSnapshot final : public AuthoritySnapshots {
 public:
  explicit OneSnapshot(bool signs) {
    auto snapshot = std::make_shared<AuthoritySnapshot>();
    auto bundle = std::make_shared<TrustBundle>();
    bundle->trust_domain = TrustDomain::Parse("td.test").value();
    std::shared_ptr<const SigningKey> key = SoftwareKey::Generate(KeyType::kEcP256).value();
    const std::string kid = JwkThumbprint(key->public_key()).value();
    bundle->jwt_keys = {{kid, key->public_key()}};
    snapshot->bundle = bundle;
    snapshot->why_no_jwt = signs ? "" : "the key is away";
    if (signs) snapshot->jwt_signer = std::make_shared<const JwtSigner>(JwtSigner{kid, std::move(key)});
    snapshot_ = std::move(snapshot);
  }
  std::shared_ptr<const AuthoritySnapshot> Current() const override { return snapshot_; }
  void AddListener(Listener) override {}

 private:
  std::shared_ptr<const AuthoritySnapshot> snapshot_;
};

TEST(JwtMinter, ATokenIsGoodForItsAudiencesForFiveMinutesAndVerifiesByTheBundle) {
  const OneSnapshot authorities(true);
  JwtMinter minter(authorities);
  const MintedJwt minted = minter.Mint(MintedId(), {"api", "db"}, absl::ZeroDuration(), kMintedAt).value();
  const std::vector<JwtKey>& keys = authorities.Current()->bundle->jwt_keys;
  const auto keys_of = [&](const TrustDomain& domain) { return domain.name() == "td.test" ? &keys : nullptr; };
  const ValidJwtSvid valid = ValidateJwtSvid(minted.token, "db", keys_of, kMintedAt).value();
  EXPECT_EQ(valid.id, MintedId());
  EXPECT_THAT(valid.audiences, ElementsAre("api", "db"));
  EXPECT_EQ(valid.expires_at, minted.expires_at);
  EXPECT_EQ(minted.expires_at, absl::FromUnixSeconds(1767323045) + absl::Minutes(5));
  EXPECT_EQ(minted.key_id, keys[0].key_id);
  EXPECT_EQ(minter.stats().minted, 1u);
}

TEST(JwtMinter, AShorterLifeIsKeptAndALongerOneIsNot) {
  const OneSnapshot authorities(true);
  JwtMinter minter(authorities);
  const absl::Time began = absl::FromUnixSeconds(1767323045);
  EXPECT_EQ(minter.Mint(MintedId(), {"a"}, absl::Seconds(90), kMintedAt)->expires_at, began + absl::Seconds(90));
  EXPECT_EQ(minter.Mint(MintedId(), {"a"}, absl::Milliseconds(1900), kMintedAt)->expires_at, began + absl::Seconds(1));
  EXPECT_EQ(minter.Mint(MintedId(), {"a"}, absl::Hours(9), kMintedAt)->expires_at, began + absl::Minutes(5));
}

struct UnmintedCase {
  const char* name;
  const char* id;
  std::vector<std::string> audiences;
  absl::Duration ttl_max;
  const char* words;
};

class JwtMinterRefuses : public testing::TestWithParam<UnmintedCase> {};

TEST_P(JwtMinterRefuses, AndSaysWhy) {
  const OneSnapshot authorities(true);
  JwtMinter minter(authorities);
  const auto minted = minter.Mint(MintedId(GetParam().id), GetParam().audiences, GetParam().ttl_max, kMintedAt);
  EXPECT_TRUE(absl::IsInvalidArgument(minted.status())) << minted.status();
  EXPECT_THAT(std::string(minted.status().message()), HasSubstr(GetParam().words));
  EXPECT_EQ(minter.stats().refused, 1u);
  EXPECT_EQ(minter.stats().minted, 0u);
}

INSTANTIATE_TEST_SUITE_P(
    Requests, JwtMinterRefuses,
    testing::Values(UnmintedCase{"AnotherTrustDomain", "spiffe://other.test/web", {"a"}, {}, "trust domain td.test"},
                    UnmintedCase{"NoPath", "spiffe://td.test", {"a"}, {}, "has a path"},
                    UnmintedCase{"NoAudience", "spiffe://td.test/web", {}, {}, "none is named"},
                    UnmintedCase{"AnEmptyAudience", "spiffe://td.test/web", {"a", ""}, {}, "one is empty"},
                    UnmintedCase{"TooShort", "spiffe://td.test/web", {"a"}, absl::Milliseconds(999), "too short"},
                    UnmintedCase{"BeforeItBegan", "spiffe://td.test/web", {"a"}, -absl::Seconds(5), "too short"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(JwtMinter, WithoutAKeyItIsUnavailableAndSaysWhy) {
  const OneSnapshot authorities(false);
  JwtMinter minter(authorities);
  const auto minted = minter.Mint(MintedId(), {"a"}, absl::ZeroDuration(), kMintedAt);
  EXPECT_TRUE(absl::IsUnavailable(minted.status()));
  EXPECT_EQ(ReasonOf(minted.status()), "JWT_KEY_MISSING");
  EXPECT_THAT(std::string(minted.status().message()), HasSubstr("the key is away"));
  EXPECT_EQ(minter.stats().failed, 1u);
}

TEST(JwtMinter, ManyThreadsMintAtOnce) {
  const OneSnapshot authorities(true);
  JwtMinter minter(authorities);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&minter] {
      for (int n = 0; n < 50; ++n) {
        EXPECT_TRUE(minter.Mint(MintedId(), {"a"}, absl::ZeroDuration(), kMintedAt).ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(minter.stats().minted, 200u);
}

}  // namespace
}  // namespace meshca
