#include "ca/authn/claim_template.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "ca/json/json_value.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/authn/refuses.h"

namespace meshca {
namespace {

using Code = absl::StatusCode;

const TrustDomain& Domain() {
  static const TrustDomain domain = TrustDomain::Parse("cluster.local").value();
  return domain;
}

struct ExpandCase {
  const char* name;
  const char* text;
  const char* claims;
  const char* expected;  // the ID; or the words of a refusal, when `reason` is given
  const char* reason;
};
class ClaimTemplateExpand : public testing::TestWithParam<ExpandCase> {};

TEST_P(ClaimTemplateExpand, GivesAnIdOrSaysWhyNot) {
  absl::StatusOr<ClaimTemplate> parsed = ClaimTemplate::Parse(GetParam().text, Domain());
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  absl::StatusOr<SpiffeId> id = parsed->Expand(ParseJson(GetParam().claims).value());
  if (GetParam().reason == nullptr) {
    ASSERT_TRUE(id.ok()) << id.status();
    EXPECT_EQ(id->uri(), GetParam().expected);
  } else {
    EXPECT_THAT(id, Refuses(Code::kPermissionDenied, GetParam().reason, GetParam().expected));
  }
}

constexpr char kNsSa[] = "spiffe://{trust_domain}/ns/{claims.ns}/sa/{claims.sa}";

INSTANTIATE_TEST_SUITE_P(
    Claims, ClaimTemplateExpand,
    testing::Values(
        ExpandCase{"Plain", kNsSa, R"({"ns":"default","sa":"web"})", "spiffe://cluster.local/ns/default/sa/web",
                   nullptr},
        ExpandCase{"Nested", "spiffe://Cluster.Local/ns/{claims.a.b.c}", R"({"a":{"b":{"c":"x"}}})",
                   "spiffe://cluster.local/ns/x", nullptr},
        ExpandCase{"QuotedName", R"(spiffe://{trust_domain}/ns/{claims."kubernetes.io".namespace}/x)",
                   R"({"kubernetes.io":{"namespace":"n"}})", "spiffe://cluster.local/ns/n/x", nullptr},
        ExpandCase{"DotsAreNeverNames", "spiffe://{trust_domain}/ns/{claims.a.b}", R"({"a.b":"evil","a":{"b":"good"}})",
                   "spiffe://cluster.local/ns/good", nullptr},
        ExpandCase{"InsideASegment", "spiffe://{trust_domain}/ns/a-{claims.x}-b{claims.y}", R"({"x":"1","y":"2"})",
                   "spiffe://cluster.local/ns/a-1-b2", nullptr},
        ExpandCase{"NoClaimAtAll", "spiffe://{trust_domain}/fixed", "{}", "spiffe://cluster.local/fixed", nullptr},
        ExpandCase{"Missing", kNsSa, R"({"ns":"default"})",
                   "{claims.sa} of spiffe://{trust_domain}/ns/{claims.ns}/sa/"
                   "{claims.sa} is not among its claims",
                   "JWT_CLAIM_MISSING"},
        ExpandCase{"NoText", kNsSa, R"({"ns":"default","sa":7})", "is no text", "JWT_CLAIM_MISSING"},
        ExpandCase{"NestedInText", "spiffe://{trust_domain}/ns/{claims.a.b}", R"({"a":"x"})", "not among its claims",
                   "JWT_CLAIM_MISSING"},
        ExpandCase{"Empty", kNsSa, R"({"ns":"","sa":"web"})", "{claims.ns} is \"\"", "JWT_CLAIM_INVALID"},
        ExpandCase{"Slash", kNsSa, R"({"ns":"a/sa/admin","sa":"web"})", "{claims.ns} is \"a/sa/admin\"",
                   "JWT_CLAIM_INVALID"},
        ExpandCase{"Percent", kNsSa, R"({"ns":"a%2fb","sa":"web"})", "letters, digits", "JWT_CLAIM_INVALID"},
        ExpandCase{"DotDot", kNsSa, R"({"ns":"..","sa":"web"})", "dot segment", "JWT_CLAIM_INVALID"},
        ExpandCase{"Space", kNsSa, R"({"ns":"a b","sa":"web"})", "letters, digits", "JWT_CLAIM_INVALID"},
        ExpandCase{"NotAscii", kNsSa, "{\"ns\":\"caf\xc3\xa9\",\"sa\":\"web\"}", "letters, digits",
                   "JWT_CLAIM_INVALID"},
        ExpandCase{"Nul", kNsSa, R"({"ns":"a\u0000","sa":"web"})", "letters, digits", "JWT_CLAIM_INVALID"}),
    [](const auto& info) { return info.param.name; });

TEST(ClaimTemplate, ALongClaimBreaksTheIdsOwnRule) {
  const ClaimTemplate parsed = ClaimTemplate::Parse(kNsSa, Domain()).value();
  const std::string claims = absl::StrCat(R"({"ns":")", std::string(2048, 'x'), R"(","sa":"a"})");
  EXPECT_THAT(parsed.Expand(ParseJson(claims).value()), Refuses(Code::kPermissionDenied, "JWT_CLAIM_INVALID", "2048"));
}

struct TemplateCase {
  const char* name;
  std::string text;
  const char* words;
};
class ClaimTemplateReject : public testing::TestWithParam<TemplateCase> {};

TEST_P(ClaimTemplateReject, NamesTheRuleBroken) {
  EXPECT_THAT(ClaimTemplate::Parse(GetParam().text, Domain()),
              Refuses(Code::kInvalidArgument, "TEMPLATE_INVALID", GetParam().words));
}

INSTANTIATE_TEST_SUITE_P(
    Rules, ClaimTemplateReject,
    testing::Values(
        TemplateCase{"Empty", "", "begin with spiffe://"},
        TemplateCase{"OtherScheme", "https://{trust_domain}/a", "begin with spiffe://"},
        TemplateCase{"OtherTrustDomain", "spiffe://other.test/a", "not this CA's, cluster.local"},
        TemplateCase{"LongerTrustDomain", "spiffe://{trust_domain}.evil/a", "has a path"},
        TemplateCase{"TrustDomainFromAClaim", "spiffe://{claims.td}/a", "not this CA's"},
        TemplateCase{"NoPath", "spiffe://{trust_domain}", "has a path"},
        TemplateCase{"RootPath", "spiffe://{trust_domain}/", "has a path"},
        TemplateCase{"Unclosed", "spiffe://{trust_domain}/ns/{claims.a", "a { without its }"},
        TemplateCase{"Unopened", "spiffe://{trust_domain}/ns/a}", "a } without its {"},
        TemplateCase{"OtherName", "spiffe://{trust_domain}/ns/{claim.a}", "{claim.a} is not {claims.NAME}"},
        TemplateCase{"TrustDomainInThePath", "spiffe://{trust_domain}/ns/{trust_domain}", "is not {claims.NAME}"},
        TemplateCase{"NoName", "spiffe://{trust_domain}/ns/{claims.}", "is not {claims.NAME}"},
        TemplateCase{"EmptyName", "spiffe://{trust_domain}/ns/{claims.a..b}", "is not {claims.NAME}"},
        TemplateCase{"OpenQuote", "spiffe://{trust_domain}/ns/{claims.\"a}", "is not {claims.NAME}"},
        TemplateCase{"EmptySegment", "spiffe://{trust_domain}/ns//{claims.a}", "empty"},
        TemplateCase{"DotSegment", "spiffe://{trust_domain}/ns/../{claims.a}", "dot segment"},
        TemplateCase{"BadByte", "spiffe://{trust_domain}/n s/{claims.a}", "byte"},
        TemplateCase{"Reserved", "spiffe://{trust_domain}/meshca/{claims.a}", "IDs below /meshca"},
        TemplateCase{"ReservedWhole", "spiffe://{trust_domain}/meshca", "IDs below /meshca"},
        TemplateCase{"ClaimFirst", "spiffe://{trust_domain}/{claims.a}/x", "could spell /meshca"},
        TemplateCase{"ClaimInTheFirst", "spiffe://{trust_domain}/mesh{claims.a}/x", "could spell /meshca"},
        TemplateCase{"ClaimBehindReserved", "spiffe://{trust_domain}/meshca{claims.a}", "could spell /meshca"},
        TemplateCase{"TooLong", "spiffe://{trust_domain}/" + std::string(2048, 'x'), "2048"}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace meshca
