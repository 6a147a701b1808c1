#include "cli/server/kubernetes_facts.h"

#include <functional>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace meshca::cli {
namespace {

using ::testing::HasSubstr;
using State = CheckedFact::State;

struct ClusterCase {
  const char* name;
  std::function<void(kubernetes::ClusterReport&)> change;
  State state;
  const char* said;
};

class ClusterFact : public testing::TestWithParam<ClusterCase> {};

TEST_P(ClusterFact, SaysWhatIsWrong) {
  kubernetes::ClusterReport report;
  report.api_server = "https://10.0.0.1:443 (in-cluster)";
  report.issuer = "https://kubernetes.test";
  report.pods = 3;
  GetParam().change(report);
  const CheckedFact fact = FactOf(report);
  EXPECT_EQ(fact.state, GetParam().state);
  EXPECT_THAT(fact.detail, HasSubstr(GetParam().said));
  EXPECT_EQ(fact.mend.empty(), fact.state == State::kOk);
}

INSTANTIATE_TEST_SUITE_P(
    Reports, ClusterFact,
    testing::Values(
        ClusterCase{"Well", [](auto&) {}, State::kOk, "3 pods"},
        ClusterCase{"NotListedYet", [](auto& report) { report.watch_age = absl::InfiniteDuration(); }, State::kWarning,
                    "still being listed"},
        ClusterCase{"NotFollowedForAMoment",
                    [](auto& report) {
                      report.watch_error = absl::UnavailableError("connection refused");
                      report.watch_age = absl::Minutes(1);
                    },
                    State::kWarning, "connection refused"},
        ClusterCase{"NotFollowedForLong",
                    [](auto& report) {
                      report.watch_error = absl::UnavailableError("connection refused");
                      report.watch_age = absl::Minutes(6);
                    },
                    State::kFailed, "connection refused"},
        ClusterCase{"Away",
                    [](auto& report) {
                      report.away = true;
                      report.why_away = "connection refused";
                    },
                    State::kWarning, "it is away (connection refused): before it answers nothing is published"},
        ClusterCase{"AwayForLong",
                    [](auto& report) {
                      report.away = true;
                      report.watch_error = absl::UnavailableError("connection refused");
                      report.watch_age = absl::Minutes(6);
                    },
                    State::kFailed, "connection refused; it is away"},
        ClusterCase{"TokensAreJudgedAsAnothers", [](auto& report) { report.is_anothers = true; }, State::kWarning,
                    "`authenticators` says of their issuer https://kubernetes.test"},
        ClusterCase{"NoKeys", [](auto& report) { report.keys.error = "HTTP 403"; }, State::kWarning, "HTTP 403"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(PodSignerFact, NamesARequestThatIsNeverSigned) {
  PodSignerStatus status;
  status.signer_name = "meshca.io/workload";
  status.age = absl::ZeroDuration();
  EXPECT_EQ(FactOf(status, absl::OkStatus()).state, State::kOk);
  status.awaiting = 2;
  status.awaits = "PodCertificateRequest web/a of pod b: it was created before the admission policy took hold";
  const CheckedFact fact = FactOf(status, absl::OkStatus());
  EXPECT_EQ(fact.state, State::kWarning);
  EXPECT_THAT(fact.detail, HasSubstr("2 never to be signed, such as PodCertificateRequest web/a"));
  EXPECT_THAT(fact.mend, HasSubstr("they ask anew"));
}

TEST(PublishedFact, NamesOneThatCannotBeWrittenAndWhy) {
  PublisherStatus status;
  status.object = "ConfigMap istio-ca-root-cert";
  status.places = 3;
  status.behind = 1;
  status.fault = "ConfigMap web/istio-ca-root-cert: HTTP 403 Forbidden";
  const CheckedFact fact = FactOf(status);
  EXPECT_EQ(fact.state, State::kWarning);
  EXPECT_THAT(fact.detail, HasSubstr("in 2 of 3 places; one of them: ConfigMap web/istio-ca-root-cert: HTTP 403"));
  status.behind = 0;
  EXPECT_EQ(FactOf(status).state, State::kOk);
}

TEST(ServerSecretFact, SaysThatACertificateIsOldOrHasEnded) {
  ServerSecretStatus status;
  status.secret = {"istio-system", "istiod-tls"};
  status.listed = true;
  status.behind = false;
  status.renews = absl::FromUnixSeconds(1'800'000'000);
  status.expires = status.renews + absl::Hours(24);
  status.as_of = status.renews + absl::Minutes(1);
  EXPECT_EQ(FactOf(status).state, State::kOk);
  status.as_of = status.renews + absl::Hours(1);
  EXPECT_EQ(FactOf(status).state, State::kWarning);
  EXPECT_THAT(FactOf(status).detail, HasSubstr("replaced at 2027-01-15 08:00:00 UTC, and was not"));
  EXPECT_THAT(FactOf(status).mend, HasSubstr("log"));
  status.as_of = status.expires;
  EXPECT_EQ(FactOf(status).state, State::kFailed);
  status.fault = "no certificate can be issued for it: the clock";
  EXPECT_EQ(FactOf(status).state, State::kFailed);
  EXPECT_THAT(FactOf(status).detail, HasSubstr("the clock"));
  // A new one that was never written is no better when it has ended.
  status.behind = true;
  status.serial = "0a";
  EXPECT_EQ(FactOf(status).state, State::kFailed);
  status.as_of = status.renews;
  EXPECT_EQ(FactOf(status).state, State::kWarning);
}

TEST(LeaseFact, SaysWhoHoldsItAndWhatThatMeansHere) {
  kubernetes::LeaseStatus status;
  status.lease = "the Lease kube-system/meshca-a.test";
  status.identity = "one";
  status.holder = "two";
  EXPECT_EQ(FactOf(status, true).state, State::kWarning);
  EXPECT_THAT(FactOf(status, true).detail,
              HasSubstr("is held by two, so this server waits: it publishes nothing and answers no request"));
  EXPECT_THAT(FactOf(status, false).detail, HasSubstr("this server waits: it publishes nothing"));
  status.holder.clear();
  EXPECT_THAT(FactOf(status, true).detail, HasSubstr("is being asked for"));
  status.gone = "was deleted: the server that held it may write until 03:04:05Z, and it is taken then";
  EXPECT_EQ(FactOf(status, true).state, State::kWarning);
  EXPECT_THAT(FactOf(status, true).detail,
              HasSubstr("may write until 03:04:05Z, and it is taken then; until then it publishes nothing"));
  EXPECT_THAT(FactOf(status, true).detail, ::testing::Not(HasSubstr("asked for")));
  status.held = true;
  EXPECT_EQ(FactOf(status, true).state, State::kOk);
  status.held = false;
  status.error = absl::PermissionDeniedError("add this rule");
  EXPECT_EQ(FactOf(status, true).state, State::kFailed);
}

}  // namespace
}  // namespace meshca::cli
