// What one trust domain is verified with: roots, and the keys of its JWT-SVIDs.
#include "ca/authority/trust_bundle.h"

#include <memory>
#include <string>

#include "ca/authority/spiffe_bundle.h"
#include "ca/authority/trust_withdrawal.h"
#include "ca/x509/signing_key.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/authority/test_ca.h"

namespace meshca {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

JwtKey MakeJwtKey(const std::string& kid, KeyType type = KeyType::kEcP256) {
  return {kid, SoftwareKey::Generate(type).value()->public_key()};
}

class TrustBundleTest : public testing::Test {
 protected:
  TrustBundleTest() {
    TestCertificate spec;
    spec.not_before = absl::FromUnixSeconds(0);
    spec.not_after = absl::FromUnixSeconds(4000000000);
    bundle_.trust_domain = TrustDomain::Parse("cluster.local").value();
    bundle_.sequence_number = 7;
    bundle_.roots = {MakeTestCa(spec).certificate(), MakeTestCa(spec).certificate()};
    bundle_.jwt_keys = {MakeJwtKey("first"), MakeJwtKey("second")};
  }

  TrustBundle bundle_;
};

TEST_F(TrustBundleTest, TheSpiffeBundleHoldsAJwtKeyForEachJwtKeyOfTheBundleAfterTheRoots) {
  const std::string json = SpiffeBundleJson(bundle_, absl::Minutes(5)).value();
  EXPECT_THAT(json, AllOf(HasSubstr(R"({"use":"jwt-svid","kid":"first","crv":"P-256","kty":"EC","x":")"),
                          HasSubstr(R"({"use":"jwt-svid","kid":"second",)"), HasSubstr(R"("spiffe_sequence":7,)")));
  EXPECT_LT(json.rfind(R"("use":"x509-svid")"), json.find(R"("use":"jwt-svid")"));
  EXPECT_EQ(json.substr(json.find("jwt-svid")).find(R"("x5c")"), std::string::npos) << "a JWT key has no certificate";
}

TEST_F(TrustBundleTest, WithoutJwtKeysTheSpiffeBundleHoldsTheRootsAlone) {
  bundle_.jwt_keys.clear();
  EXPECT_THAT(SpiffeBundleJson(bundle_, absl::Minutes(5)).value(), Not(HasSubstr("jwt-svid")));
}

TEST_F(TrustBundleTest, AKidThatWouldNeedEscapesIsRefused) {
  for (const char* kid : {"", "a\"b", "a b", "a\n"}) {
    bundle_.jwt_keys = {MakeJwtKey(kid)};
    EXPECT_EQ(SpiffeBundleJson(bundle_, absl::Minutes(5)).status().code(), absl::StatusCode::kInternal) << kid;
  }
}

TEST_F(TrustBundleTest, JwtKeysAreContentLikeRoots) {
  TrustBundle other = bundle_;
  EXPECT_TRUE(HaveSameContent(bundle_, other));
  other.published_at = absl::FromUnixSeconds(1);
  EXPECT_TRUE(HaveSameContent(bundle_, other)) << "when it was published is nothing to verify with";
  other.jwt_keys.push_back(MakeJwtKey("third"));
  EXPECT_FALSE(HaveSameContent(bundle_, other));
  other = bundle_;
  other.jwt_keys[0].key = MakeJwtKey("first").key;
  EXPECT_FALSE(HaveSameContent(bundle_, other)) << "the same kid, and another key";
  other = bundle_;
  other.roots.pop_back();
  EXPECT_FALSE(HaveSameContent(bundle_, other));
}

TEST_F(TrustBundleTest, OtherContentTakesAHigherNumberAndNoNumberGoesBack) {
  TrustBundle next = bundle_;
  EXPECT_TRUE(CheckFollows(bundle_, next).ok());
  next.jwt_keys.push_back(MakeJwtKey("third"));
  EXPECT_THAT(std::string(CheckFollows(bundle_, next).message()), HasSubstr("trust bundle 7 has other content"));
  next.sequence_number = 8;
  EXPECT_TRUE(CheckFollows(bundle_, next).ok());
  EXPECT_THAT(std::string(CheckFollows(next, bundle_).message()), HasSubstr("trust bundle 7 in place of 8"));
  next.trust_domain = TrustDomain::Parse("other.test").value();
  EXPECT_THAT(std::string(CheckFollows(bundle_, next).message()), HasSubstr("other.test"));
}

TEST_F(TrustBundleTest, AJwtKeyThatIsGoneTakesTrustAwayAndANewOneDoesNot) {
  AuthoritySnapshot before;
  before.bundle = std::make_shared<TrustBundle>(bundle_);
  AuthoritySnapshot after;
  TrustBundle next = bundle_;
  next.jwt_keys.push_back(MakeJwtKey("third"));
  after.bundle = std::make_shared<TrustBundle>(next);
  EXPECT_FALSE(TakesTrustAway(before, after));
  EXPECT_TRUE(TakesTrustAway(after, before));
}

}  // namespace
}  // namespace meshca
