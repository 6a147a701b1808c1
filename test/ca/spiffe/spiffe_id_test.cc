#include "ca/spiffe/spiffe_id.h"

#include <string>
#include <vector>

#include "absl/hash/hash.h"
#include "ca/base/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace meshca {
namespace {

using ::testing::HasSubstr;

struct RejectCase {
  const char* name;
  std::string uri;
  const char* rule;
};

class SpiffeIdReject : public testing::TestWithParam<RejectCase> {};

TEST_P(SpiffeIdReject, NamesTheRuleBroken) {
  const absl::Status status = SpiffeId::Parse(GetParam().uri).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReasonOf(status), "SPIFFE_ID_INVALID");
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().rule));
  EXPECT_LT(status.message().size(), 700u) << "a hostile ID must not fill the log";
}

INSTANTIATE_TEST_SUITE_P(
    SpiffeIdSpec2, SpiffeIdReject,
    testing::Values(RejectCase{"Empty", "", "is empty"}, RejectCase{"NoScheme", "a.test/x", "must begin with"},
                    RejectCase{"OtherScheme", "https://a.test/x", "must begin with spiffe://"},
                    RejectCase{"OneSlash", "spiffe:/a.test/x", "must begin with spiffe://"},
                    RejectCase{"NoTrustDomain", "spiffe:///ns/a", "trust domain is empty"},
                    RejectCase{"Nothing", "spiffe://", "trust domain is empty"},
                    RejectCase{"Port", "spiffe://a.test:443/x", "trust domain has a byte"},
                    RejectCase{"UserInfo", "spiffe://user@a.test/x", "user information is not allowed"},
                    RejectCase{"Bracket", "spiffe://[::1]/x", "trust domain has a byte"},
                    RejectCase{"Space", "spiffe://a test/x", "trust domain has a byte"},
                    RejectCase{"Unicode", "spiffe://\xc3\xa4.test/x", "\\xc3"},
                    RejectCase{"LongTrustDomain", "spiffe://" + std::string(256, 'a') + "/x", "255"},
                    RejectCase{"TrailingSlash", "spiffe://a.test/", "path ends with a slash"},
                    RejectCase{"TrailingSlashInPath", "spiffe://a.test/ns/", "path ends with a slash"},
                    RejectCase{"EmptySegment", "spiffe://a.test/ns//x", "path has an empty segment"},
                    RejectCase{"Dot", "spiffe://a.test/./x", "dot segment"},
                    RejectCase{"DotDot", "spiffe://a.test/ns/../x", "dot segment"},
                    RejectCase{"DotDotAtEnd", "spiffe://a.test/ns/..", "dot segment"},
                    RejectCase{"Percent", "spiffe://a.test/ns/%41", "percent-encoding is not allowed"},
                    RejectCase{"Query", "spiffe://a.test/ns?x=1", "a query is not allowed"},
                    RejectCase{"QueryWithoutPath", "spiffe://a.test?x=1", "a query is not allowed"},
                    RejectCase{"Fragment", "spiffe://a.test/ns#x", "a fragment is not allowed"},
                    RejectCase{"Nul", std::string("spiffe://a.test/n\0s", 19), "path has a byte"},
                    RejectCase{"Newline", "spiffe://a.test/ns\n", "path has a byte"},
                    RejectCase{"OneByteTooLong", "spiffe://a.test/" + std::string(2033, 'x'), "2048"}),
    [](const auto& info) { return std::string(info.param.name); });

struct AcceptCase {
  const char* name;
  std::string uri;
  std::string stored;
  std::string domain;
  std::string path;
};

class SpiffeIdAccept : public testing::TestWithParam<AcceptCase> {};

TEST_P(SpiffeIdAccept, SplitsAndLowersSchemeAndTrustDomain) {
  const absl::StatusOr<SpiffeId> id = SpiffeId::Parse(GetParam().uri);
  ASSERT_TRUE(id.ok()) << id.status();
  EXPECT_EQ(id->uri(), GetParam().stored);
  EXPECT_EQ(id->trust_domain_name(), GetParam().domain);
  EXPECT_EQ(id->trust_domain().name(), GetParam().domain);
  EXPECT_EQ(id->path(), GetParam().path);
  EXPECT_EQ(id->has_path(), !GetParam().path.empty());
}

INSTANTIATE_TEST_SUITE_P(
    SpiffeIdSpec2, SpiffeIdAccept,
    testing::Values(AcceptCase{"Workload", "spiffe://cluster.local/ns/default/sa/web",
                               "spiffe://cluster.local/ns/default/sa/web", "cluster.local", "/ns/default/sa/web"},
                    AcceptCase{"TrustDomainAlone", "spiffe://a.test", "spiffe://a.test", "a.test", ""},
                    AcceptCase{"UpperCase", "SPIFFE://A.Test/Path", "spiffe://a.test/Path", "a.test", "/Path"},
                    AcceptCase{"EveryByte", "spiffe://a_b-c.0/aZ0.-_", "spiffe://a_b-c.0/aZ0.-_", "a_b-c.0", "/aZ0.-_"},
                    AcceptCase{"ThreeDots", "spiffe://a.test/...", "spiffe://a.test/...", "a.test", "/..."},
                    AcceptCase{"Longest", "spiffe://a.test/" + std::string(2032, 'x'),
                               "spiffe://a.test/" + std::string(2032, 'x'), "a.test", "/" + std::string(2032, 'x')}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(SpiffeId, DefaultIsEmpty) {
  const SpiffeId id;
  EXPECT_TRUE(id.empty());
  EXPECT_FALSE(id.has_path());
  EXPECT_EQ(id.trust_domain_name(), "");
  EXPECT_FALSE(id.IsReserved());
}

TEST(SpiffeId, FromPartsKeepsPathOutOfTheTrustDomain) {
  const TrustDomain domain = *TrustDomain::Parse("a.test");
  EXPECT_EQ(SpiffeId::FromParts(domain, "/x")->uri(), "spiffe://a.test/x");
  EXPECT_EQ(SpiffeId::FromParts(domain, "")->uri(), "spiffe://a.test");
  EXPECT_THAT(std::string(SpiffeId::FromParts(domain, "x").status().message()), HasSubstr("begin with a slash"));
  EXPECT_FALSE(SpiffeId::FromParts(TrustDomain(), "/x").ok());
}

TEST(SpiffeId, ReservedIsMeshcasOwnFolderAlone) {
  EXPECT_TRUE(SpiffeId::Parse("spiffe://a.test/meshca/server")->IsReserved());
  EXPECT_TRUE(SpiffeId::Parse("spiffe://a.test/meshca")->IsReserved());
  EXPECT_FALSE(SpiffeId::Parse("spiffe://a.test/meshcat")->IsReserved());
  EXPECT_FALSE(SpiffeId::Parse("spiffe://a.test/ns/meshca")->IsReserved());
}

TEST(SpiffeId, ComparesTrustDomainWithoutCaseAndPathWithIt) {
  EXPECT_EQ(*SpiffeId::Parse("spiffe://A.test/x"), *SpiffeId::Parse("spiffe://a.TEST/x"));
  EXPECT_NE(*SpiffeId::Parse("spiffe://a.test/X"), *SpiffeId::Parse("spiffe://a.test/x"));
  EXPECT_LT(*SpiffeId::Parse("spiffe://a.test/a"), *SpiffeId::Parse("spiffe://a.test/b"));
  EXPECT_EQ(absl::Hash<SpiffeId>()(*SpiffeId::Parse("spiffe://A.test/x")),
            absl::Hash<SpiffeId>()(*SpiffeId::Parse("spiffe://a.test/x")));
  EXPECT_TRUE(SpiffeId::Parse("spiffe://a.test/x")->MemberOf(*TrustDomain::Parse("A.test")));
  EXPECT_FALSE(SpiffeId::Parse("spiffe://a.test/x")->MemberOf(*TrustDomain::Parse("b.test")));
}

TEST(SpiffeId, GlobMatchesTheWholeId) {
  const SpiffeId id = *SpiffeId::Parse("spiffe://a.test/ns/default/sa/web");
  struct Case {
    const char* pattern;
    bool matches;
  };
  for (const Case& c : std::vector<Case>{{"spiffe://a.test/ns/default/sa/web", true},
                                         {"spiffe://a.test/*", true},
                                         {"*", true},
                                         {"*web", true},
                                         {"*sa/we?", true},
                                         {"spiffe://a.test/ns/*/sa/*", true},
                                         {"*/sa/*/web", false},
                                         {"spiffe://a.test/ns/default/sa/we", false},
                                         {"spiffe://a.test/ns/default/sa/web?", false},
                                         {"**e*b**", true},
                                         {"", false}}) {
    EXPECT_EQ(id.MatchesGlob(c.pattern), c.matches) << c.pattern;
  }
}

}  // namespace
}  // namespace meshca
