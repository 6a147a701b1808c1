#include "cli/server/metrics.h"

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "ca/authority/authority_manager.h"
#include "ca/base/process_limits.h"
#include "cli/process/metric_families.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/fakes/counting_entropy.h"
#include "test/fakes/fake_clock.h"
#include "test/fakes/fake_key_store.h"
#include "test/fakes/fake_rotation.h"
#include "test/fakes/memory_store.h"

namespace meshca::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(MetricFamilies, WritesPrometheusText) {
  MetricFamilies families;
  families.Counter("a_total", "Things \\ done.", 3, {{"who", "me \"x\"\n"}});
  families.Gauge("b", "Level.", -1.5);
  families.Counter("a_total", "", 4, {{"who", "you"}});
  const double bounds[] = {0.1, 1};
  const uint64_t counts[] = {2, 0, 5};
  families.Histogram("c_seconds", "Time.", bounds, counts, 12.5);
  EXPECT_EQ(families.ToText(),
            "# HELP a_total Things \\ done.\n"
            "# TYPE a_total counter\n"
            "a_total{who=\"me \\\"x\\\"\\n\"} 3\n"
            "a_total{who=\"you\"} 4\n"
            "# HELP b Level.\n"
            "# TYPE b gauge\n"
            "b -1.5\n"
            "# HELP c_seconds Time.\n"
            "# TYPE c_seconds histogram\n"
            "c_seconds_count 7\n"
            "c_seconds_sum 12.5\n"
            "c_seconds_bucket{le=\"0.1\"} 2\n"
            "c_seconds_bucket{le=\"1\"} 2\n"
            "c_seconds_bucket{le=\"+Inf\"} 7\n");
}

class MetricsTest : public testing::Test {
 protected:
  MetricsTest() {
    AuthorityOptions options;
    options.trust_domain = TrustDomain::Parse("cluster.local").value();
    manager_ = AuthorityManager::Create(options, store_, keys_, clock_, entropy_).value();
    EXPECT_TRUE(manager_->Start().ok());
    pipeline_ = std::make_unique<IssuancePipeline>(CertificateProfile(), PipelineOptions(), *manager_, store_, clock_,
                                                   entropy_);
    IgnoreBrokenPipes();
    edge_ = rpc::Server::Create({}).value();
    sources_.version = "1.2.3";
    sources_.started_at = clock_.Now();
    sources_.clock = &clock_;
    sources_.pipeline = pipeline_.get();
    sources_.authorities = manager_.get();
    sources_.authority_error = [this] { return manager_->LastError(); };
    sources_.judged_clock = &manager_->clock();
    sources_.authority_store = &store_;
    sources_.store = &store_;
    sources_.edge = edge_.get();
  }
  ~MetricsTest() override { pipeline_->Shutdown(); }

  // The value of the sample that begins with `name` (and its labels); nothing: there is none.
  std::optional<double> Value(const std::string& text, const std::string& name) {
    for (absl::string_view line : absl::StrSplit(text, '\n')) {
      if (!absl::StartsWith(line, name + " ")) continue;
      double value = 0;
      EXPECT_TRUE(absl::SimpleAtod(line.substr(name.size() + 1), &value)) << line;
      return value;
    }
    return std::nullopt;
  }

  FakeClock clock_;
  CountingEntropy entropy_;
  MemoryStore store_;
  FakeKeyStore keys_;
  std::unique_ptr<AuthorityManager> manager_;
  std::unique_ptr<IssuancePipeline> pipeline_;
  std::unique_ptr<rpc::Server> edge_;
  MetricSources sources_;
};

TEST_F(MetricsTest, HasEveryNameOfIstiods) {
  std::string text = MetricsRegistry(sources_).Render();
  for (const char* name : {"citadel_server_csr_count", "citadel_server_success_cert_issuance_count",
                           "citadel_server_authentication_failure_count", "citadel_server_csr_parsing_err_count",
                           "citadel_server_id_extraction_err_count", "citadel_server_csr_sign_err_count",
                           "citadel_server_root_cert_expiry_timestamp", "citadel_server_root_cert_expiry_seconds",
                           "citadel_server_cert_chain_expiry_timestamp", "citadel_server_cert_chain_expiry_seconds"}) {
    EXPECT_TRUE(Value(text, name).has_value()) << name;
  }
  EXPECT_EQ(Value(text, "citadel_server_root_cert_expiry_seconds"), 3650 * 86400.0);
  EXPECT_EQ(Value(text, "citadel_server_cert_chain_expiry_timestamp"),
            static_cast<double>(absl::ToUnixSeconds(clock_.Now() + absl::Hours(24 * 30))));
}

TEST_F(MetricsTest, CountsWhatThePipelineDid) {
  SubmittedRequest request;
  request.caller.any_id_of_trust_domain = true;
  request.csr = "junk";
  Mutex mutex;
  CondVar done;
  bool answered = false;
  pipeline_->Submit(std::move(request), [&](absl::StatusOr<IssuedCertificate>) {
    MutexLock lock(mutex);
    answered = true;
    done.NotifyAll();
  });
  {
    MutexLock lock(mutex);
    while (!answered) done.Wait(mutex);
  }
  std::string text = MetricsRegistry(sources_).Render();
  EXPECT_EQ(Value(text, "meshca_issuance_requests_total"), 1);
  EXPECT_EQ(Value(text, "meshca_issuance_errors_total{why=\"csr\"}"), 1);
  EXPECT_EQ(Value(text, "meshca_issuances_total{class=\"renewal\"}"), 0);
  EXPECT_TRUE(Value(text, "meshca_issuance_latency_seconds_bucket{le=\"+Inf\"}").has_value());
}

TEST_F(MetricsTest, ShowsTheExpiryOfEveryAuthorityAndItsLiveCertificates) {
  std::string id = manager_->Current()->issuing->id;
  std::string text = MetricsRegistry(sources_).Render();
  std::string labels = absl::StrCat("{authority=\"", id, "\",role=\"issuing\",state=\"active\"}");
  EXPECT_EQ(Value(text, "meshca_authority_expiry_seconds" + labels), 30 * 86400.0);
  EXPECT_EQ(Value(text, "meshca_authority_live_certificates" + labels), 0);
  EXPECT_THAT(text, HasSubstr("role=\"root\",state=\"active\""));
  EXPECT_EQ(Value(text, "meshca_bundle_sequence"), 1);
  EXPECT_EQ(Value(text, "meshca_authority_error"), 0);
  EXPECT_EQ(Value(text, "meshca_authority_can_sign"), 1);
}

TEST_F(MetricsTest, SaysWhenTheStoreOrTheClockIsNotWell) {
  store_.FailWrites(absl::UnavailableError("disk full"));
  clock_.JumpTo(clock_.Now() - absl::Hours(1));
  manager_->Tick(clock_.Now());
  std::string text = MetricsRegistry(sources_).Render();
  EXPECT_EQ(Value(text, "meshca_store_writable"), 0);
  EXPECT_EQ(Value(text, "meshca_clock_steady"), 0);
  EXPECT_EQ(Value(text, "meshca_authority_can_sign"), 0);
  EXPECT_EQ(Value(text, "meshca_authority_error"), 1);
}

TEST_F(MetricsTest, CountsTheCertificatesThatWereRevoked) {
  uint64_t revoked = 0;
  sources_.certificates_revoked = [&] { return revoked; };
  EXPECT_EQ(Value(MetricsRegistry(sources_).Render(), "meshca_certificates_revoked_total"), 0);
  revoked = 7;
  EXPECT_EQ(Value(MetricsRegistry(sources_).Render(), "meshca_certificates_revoked_total"), 7);
}

TEST_F(MetricsTest, WithoutRotationNothingIsSaidOfIt) {
  EXPECT_THAT(MetricsRegistry(sources_).Render(), Not(HasSubstr("rotation")));
  EXPECT_THAT(MetricsRegistry(sources_).Render(), Not(HasSubstr("meshca_plugged_in_ca_refused")));
}

TEST_F(MetricsTest, ShowsTheStepOfTheRotationAndWhoIsBehind) {
  FakeRotation rotation;
  bool refused = false;
  sources_.rotation = &rotation;
  sources_.plugged_in_refused = [&] { return refused; };
  std::string text = MetricsRegistry(sources_).Render();
  EXPECT_EQ(Value(text, "meshca_root_rotation_step{step=\"none\"}"), 1);
  for (const char* step : {"prepare", "distribute", "reissue", "drain", "retire", "done"}) {
    EXPECT_EQ(Value(text, absl::StrCat("meshca_root_rotation_step{step=\"", step, "\"}")), 0) << step;
  }
  EXPECT_EQ(Value(text, "meshca_root_rotation_frozen"), 0);
  EXPECT_EQ(Value(text, "meshca_plugged_in_ca_refused"), 0);

  rotation.report.rotation.emplace().step = RotationStep::kDrain;
  rotation.report.evidence.subscribers_behind = 2;
  rotation.report.evidence.leaves_behind = 3;
  rotation.report.evidence.laggards.resize(1);
  rotation.report.evidence.laggards[0].spiffe_id = "spiffe://cluster.local/web";
  rotation.report.reissue_left = 4;
  rotation.report.frozen = "the clock jumped";
  refused = true;
  text = MetricsRegistry(sources_).Render();
  EXPECT_EQ(Value(text, "meshca_root_rotation_step{step=\"none\"}"), 0);
  EXPECT_EQ(Value(text, "meshca_root_rotation_step{step=\"drain\"}"), 1);
  EXPECT_EQ(Value(text, "meshca_root_rotation_step{step=\"retire\"}"), 0);
  EXPECT_EQ(Value(text, "meshca_root_rotation_subscribers_behind"), 2);
  EXPECT_EQ(Value(text, "meshca_root_rotation_leaves_behind"), 3);
  EXPECT_EQ(Value(text, "meshca_root_rotation_reissue_left"), 4);
  EXPECT_EQ(Value(text, "meshca_root_rotation_frozen"), 1);
  EXPECT_EQ(Value(text, "meshca_plugged_in_ca_refused"), 1);
  EXPECT_THAT(text, Not(HasSubstr("spiffe://")));
}

TEST_F(MetricsTest, ShowsWhetherTokenIssuersWereEverReachedAndWhichKeysAreLeftOut) {
  EXPECT_THAT(MetricsRegistry(sources_).Render(), Not(HasSubstr("meshca_jw")));
  JwtIssuerReport report;
  report.issuer = "https://issuer.test";
  report.keys.location = "https://issuer.test/jwks";
  report.keys.error = "HTTP status 406";
  // An issuer configured twice, for two audiences, is one series.
  sources_.token_issuers = [&] { return std::vector<JwtIssuerReport>{report, report}; };
  const std::string labels = R"({issuer="https://issuer.test",keys="https://issuer.test/jwks"})";
  std::string text = MetricsRegistry(sources_).Render();
  EXPECT_EQ(Value(text, "meshca_jwt_issuer_last_success_timestamp_seconds" + labels), 0);
  EXPECT_EQ(Value(text, "meshca_jwt_issuer_error" + labels), 1);
  EXPECT_EQ(Value(text, "meshca_jwks_keys" + labels), 0);
  report.keys.error = "";
  report.keys.last_success = absl::FromUnixSeconds(1767323045);
  report.keys.keys = std::make_shared<const Jwks>(
      Jwks::Parse(R"({"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},{}]})")
          .value());
  text = MetricsRegistry(sources_).Render();
  EXPECT_EQ(Value(text, "meshca_jwt_issuer_last_success_timestamp_seconds" + labels), 1767323045);
  EXPECT_EQ(Value(text, "meshca_jwt_issuer_error" + labels), 0);
  EXPECT_EQ(Value(text, "meshca_jwks_keys" + labels), 1);
  EXPECT_EQ(Value(text, "meshca_jwks_keys_ignored" + labels), 1);
}

TEST_F(MetricsTest, EachFamilyIsDeclaredOnceAndWellNamed) {
  FakeRotation rotation;
  sources_.rotation = &rotation;
  std::string text = MetricsRegistry(sources_).Render();
  std::set<std::string> declared;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (!absl::StartsWith(line, "# TYPE ")) continue;
    std::vector<std::string> words = absl::StrSplit(line, ' ');
    EXPECT_TRUE(declared.insert(words[2]).second) << line;
    if (words[3] == "counter" && absl::StartsWith(words[2], "meshca_")) {
      EXPECT_TRUE(absl::EndsWith(words[2], "_total")) << line;
    }
  }
  EXPECT_GT(declared.size(), 40u);
  EXPECT_THAT(text, Not(HasSubstr("spiffe://")));
}

}  // namespace
}  // namespace meshca::cli
