// What a caller may ask for, and the profile's rules.
#include <functional>
#include <string>

#include "ca/base/status.h"
#include "ca/issuance/certificate_profile.h"
#include "ca/issuance/issuance_request.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/issuance/test_ca.h"

namespace meshca {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kWeb[] = "spiffe://cluster.local/ns/default/sa/web";

const SoftwareKey& CsrKey() {
  static const SoftwareKey* key = SoftwareKey::Generate(KeyType::kEcP256)->release();
  return *key;
}

struct RefusedCase {
  const char* name;
  std::function<SubmittedRequest()> request;
  absl::StatusCode code;
  const char* reason;
  const char* words;
};

void PrintTo(const RefusedCase& c, std::ostream* out) { *out << c.name; }

class RequestRefused : public testing::TestWithParam<RefusedCase> {};

TEST_P(RequestRefused, NamesWhatIsWrong) {
  const absl::Status status = JudgeRequest(GetParam().request(), TestDomain()).status();
  EXPECT_EQ(status.code(), GetParam().code) << status;
  EXPECT_EQ(ReasonOf(status), GetParam().reason);
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().words));
}

SubmittedRequest Asking(Asks asks) { return WebRequest(CsrKey(), asks); }

SubmittedRequest Changed(const std::function<void(SubmittedRequest&)>& change) {
  SubmittedRequest request = WebRequest(CsrKey());
  change(request);
  return request;
}

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kDenied = absl::StatusCode::kPermissionDenied;

INSTANTIATE_TEST_SUITE_P(
    Rules, RequestRefused,
    testing::Values(
        RefusedCase{"BrokenCsr", [] { return Changed([](auto& r) { r.csr = r.csr.substr(0, 50); }); }, kInvalid,
                    "CSR_MALFORMED", "workload CSR: "},
        RefusedCase{"ForgedCsr", [] { return Changed([](auto& r) { r.csr.back() ^= 1; }); }, kInvalid,
                    "CSR_SIGNATURE_INVALID", "workload CSR: signature"},
        RefusedCase{"AsksForCa",
                    [] {
                      return Asking({{kWeb}, {}, {}, true});
                    },
                    kInvalid, "CSR_ASKS_FOR_CA", "cA TRUE"},
        RefusedCase{"TwoUris",
                    [] {
                      return Asking({{kWeb, kWeb}, {}, {}, false});
                    },
                    kInvalid, "CSR_URI_NAMES", "exactly one"},
        RefusedCase{"BrokenId",
                    [] {
                      return Asking({{"spiffe://cluster.local/a/../b"}, {}, {}, false});
                    },
                    kInvalid, "SPIFFE_ID_INVALID", "workload CSR: SPIFFE ID: path has a dot segment"},
        RefusedCase{"NoPath",
                    [] {
                      return Asking({{"spiffe://cluster.local"}, {}, {}, false});
                    },
                    kInvalid, "SPIFFE_ID_INVALID", "has a path"},
        RefusedCase{"SomebodyElse",
                    [] {
                      return Asking({{"spiffe://cluster.local/ns/default/sa/db"}, {}, {}, false});
                    },
                    kDenied, "SPIFFE_ID_NOT_ALLOWED", "may not hold spiffe://cluster.local/ns/default/sa/db"},
        RefusedCase{"OtherTrustDomain",
                    [] {
                      return Changed([](auto& r) {
                        r.caller.any_id_of_trust_domain = true;
                        r.csr = MakeCsr(CsrKey(), {{"spiffe://other.test/a"}, {}, {}, false});
                      });
                    },
                    kDenied, "SPIFFE_ID_NOT_ALLOWED", "trust domain cluster.local alone"},
        RefusedCase{"Reserved",
                    [] {
                      return Changed([](auto& r) {
                        r.caller.any_id_of_trust_domain = true;
                        r.csr = MakeCsr(CsrKey(), {{"spiffe://cluster.local/meshca/server"}, {}, {}, false});
                      });
                    },
                    kDenied, "SPIFFE_ID_NOT_ALLOWED", "/meshca/server"},
        RefusedCase{"RequestAndCsrDiffer", [] { return Changed([](auto& r) { r.spiffe_id = Id("/other"); }); }, kDenied,
                    "SPIFFE_ID_NOT_ALLOWED", "but the request is for spiffe://cluster.local/other"},
        RefusedCase{"NoIdentity",
                    [] {
                      return Changed([](auto& r) {
                        r.caller.ids.clear();
                        r.csr = MakeCsr(CsrKey(), {});
                      });
                    },
                    kDenied, "NO_IDENTITY", "may hold no identity"},
        RefusedCase{"ServerUserNamesNone",
                    [] {
                      return Changed([](auto& r) {
                        r.caller.ids.clear();
                        r.caller.any_id_of_trust_domain = true;
                        r.csr = MakeCsr(CsrKey(), {});
                      });
                    },
                    kDenied, "NO_IDENTITY", "names no SPIFFE ID"},
        RefusedCase{"DnsNameOfAnother",
                    [] {
                      return Asking({{kWeb}, {"db.default.svc"}, {}, false});
                    },
                    kDenied, "DNS_NAME_NOT_ALLOWED", "may not have the DNS name db.default.svc"},
        RefusedCase{"ExtraDnsNameOfAnother", [] { return Changed([](auto& r) { r.dns_names = {"db.default.svc"}; }); },
                    kDenied, "DNS_NAME_NOT_ALLOWED", "db.default.svc"},
        RefusedCase{"BrokenDnsName",
                    [] {
                      return Asking({{kWeb}, {"web_default..svc"}, {}, false});
                    },
                    kInvalid, "DNS_NAME_INVALID", "web_default..svc"},
        RefusedCase{"Email",
                    [] {
                      return Asking({{kWeb}, {}, {"a@b.test"}, false});
                    },
                    kDenied, "NAME_NOT_ALLOWED", "email:a@b.test"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(JudgeRequest, TakesTheKeyFromTheCsrAndNamesFromTheCaller) {
  const absl::StatusOr<IssuanceRequest> named = JudgeRequest(
      Asking({{"SPIFFE://Cluster.local/ns/default/sa/web"}, {"WEB.default.svc"}, {}, false}), TestDomain());
  ASSERT_TRUE(named.ok()) << named.status();
  EXPECT_EQ(named->spiffe_id.uri(), kWeb);
  EXPECT_THAT(named->dns_names, ElementsAre("web.default.svc"));
  EXPECT_EQ(named->public_key, CsrKey().public_key());
  // keytool and the like name nothing: the caller's first identity it is.
  EXPECT_EQ(JudgeRequest(Asking({}), TestDomain())->spiffe_id.uri(), kWeb);
}

TEST(JudgeRequest, AKeyOfTheCasOwnNeedsNoCsr) {
  SubmittedRequest request;
  request.caller = WebCaller();
  request.public_key = CsrKey().public_key();
  request.dns_names = {"web.default.svc", "web.default.svc"};
  const absl::StatusOr<IssuanceRequest> judged = JudgeRequest(request, TestDomain());
  ASSERT_TRUE(judged.ok()) << judged.status();
  EXPECT_EQ(judged->spiffe_id.uri(), kWeb);
  EXPECT_THAT(judged->dns_names, ElementsAre("web.default.svc"));
}

TEST(JudgeRequest, NobodyMakesTheKeyOfANodesAgentForIt) {
  SubmittedRequest request;
  request.caller = WebCaller();
  request.caller.ids = {Id("/meshca/agent/web-1")};
  request.public_key = CsrKey().public_key();
  const absl::Status refused = JudgeRequest(request, TestDomain()).status();
  EXPECT_EQ(ReasonOf(refused), "SPIFFE_ID_NOT_ALLOWED");
  EXPECT_THAT(std::string(refused.message()), HasSubstr("makes its own key"));
}

TEST(JudgeRequest, AnIdentitysRightsAreNotAnothers) {
  SubmittedRequest request;
  request.caller = WebCaller();
  request.caller.ids.push_back(Id("/db"));
  request.caller.rights = {{Id("/ns/default/sa/web"), {}, absl::Hours(24)},
                           {Id("/db"), {"db.default.svc"}, absl::Hours(1)}};
  request.public_key = CsrKey().public_key();
  absl::StatusOr<IssuanceRequest> web = JudgeRequest(request, TestDomain());
  ASSERT_TRUE(web.ok()) << web.status();
  EXPECT_EQ(web->lifetime_max, absl::Hours(24));
  request.dns_names = {"db.default.svc"};
  EXPECT_EQ(ReasonOf(JudgeRequest(request, TestDomain()).status()), "DNS_NAME_NOT_ALLOWED");
  request.spiffe_id = Id("/db");
  absl::StatusOr<IssuanceRequest> db = JudgeRequest(request, TestDomain());
  ASSERT_TRUE(db.ok()) << db.status();
  EXPECT_EQ(db->lifetime_max, absl::Hours(1));
}

// --- Profile -------------------------------------------------------------------------------------------------------

TEST(CertificateProfile, ChoosesLifetimes) {
  const CertificateProfile profile;
  ASSERT_TRUE(profile.Validate().ok());
  struct Case {
    absl::Duration requested, caller_max, lifetime;
    const char* words;
  };
  const absl::Duration day = absl::Hours(24), none = absl::ZeroDuration();
  for (const Case& c : std::vector<Case>{{none, none, day, ""},
                                         {none, absl::Hours(1), absl::Hours(1), ""},
                                         {absl::Hours(2), none, absl::Hours(2), ""},
                                         {7 * day, none, 7 * day, ""},
                                         {absl::Seconds(1), none, absl::Seconds(1), ""},
                                         {absl::Milliseconds(1), none, none, "below the minimum"},
                                         {-absl::Seconds(1), none, none, "is negative"},
                                         {7 * day + absl::Seconds(1), none, none, "above the maximum of 168h"},
                                         {3650 * day, none, none, "above the maximum of 168h"},
                                         {absl::InfiniteDuration(), none, none, "above the maximum"},
                                         {absl::Hours(2), absl::Hours(1), none, "above the maximum of 1h"}}) {
    const absl::StatusOr<absl::Duration> lifetime = profile.LifetimeFor(c.requested, c.caller_max);
    if (c.words[0] == '\0') {
      ASSERT_TRUE(lifetime.ok()) << lifetime.status();
      EXPECT_EQ(*lifetime, c.lifetime);
    } else {
      EXPECT_EQ(lifetime.status().code(), absl::StatusCode::kInvalidArgument);
      EXPECT_EQ(ReasonOf(lifetime.status()), "LIFETIME");
      EXPECT_THAT(std::string(lifetime.status().message()), HasSubstr(c.words));
    }
  }
}

TEST(CertificateProfile, ValidateNamesTheField) {
  struct Case {
    const char* field;
    std::function<void(CertificateProfile&)> spoil;
  };
  for (const Case& c :
       std::vector<Case>{{"lifetime_min", [](auto& p) { p.lifetime_min = absl::ZeroDuration(); }},
                         {"lifetime_max", [](auto& p) { p.lifetime_max = absl::Hours(24 * 4000); }},
                         {"lifetime_default", [](auto& p) { p.lifetime_default = absl::Hours(24 * 8); }},
                         {"lifetime_default", [](auto& p) { p.lifetime_default = -absl::Seconds(1); }},
                         {"backdate", [](auto& p) { p.backdate = -absl::Seconds(1); }},
                         {"key_types", [](auto& p) { p.key_types.clear(); }}}) {
    CertificateProfile profile;
    c.spoil(profile);
    EXPECT_EQ(profile.Validate().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(profile.Validate().message()), HasSubstr(c.field));
  }
}

}  // namespace
}  // namespace meshca
