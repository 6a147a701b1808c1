#include "ca/pod_certificates/pod_certificate_signer.h"

#include <functional>
#include <memory>
#include <string>

#include "ca/pod_certificates/pod_certificate_terms.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/authn/fake_cluster.h"
#include "test/ca/issuance/test_ca.h"
#include "test/ca/kubernetes/fake_leadership.h"
#include "test/ca/kubernetes/kept_events.h"
#include "test/ca/pod_certificates/pod_request_maker.h"
#include "test/ca/pod_certificates/requests_cluster.h"

namespace meshca {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;

class PodCertificateSignerTest : public testing::Test {
 protected:
  PodCertificateSignerTest() {
    pods_.Put("front-pod", FrontPod());
    pods_.PutAccount({"web", "front"}, "front-account");
  }

  void Start(bool without_policy = false, kubernetes::Leadership* leadership = nullptr) {
    PodSignerOptions options{
        .signer_name = "meshca.io/workload",
        .spiffe_id = *ServiceAccountTemplate::Parse(ServiceAccountTemplate::kDefault, TestDomain()),
        .profile = profile_,
        .without_policy = without_policy};
    options.pending.retry_first = absl::Milliseconds(20);
    options.guard_retry = absl::Milliseconds(20);
    options.guard_every = guard_every_;
    pipeline_ = std::make_unique<IssuancePipeline>(profile_, PipelineOptions{.threads = 1}, authorities_, store_,
                                                   SystemClock(), SystemEntropy());
    server_ = cluster_.Connect();
    signer_ = std::make_unique<PodCertificateSigner>(
        std::move(options), PodCertificateSigner::Parts{*server_, pods_, authorities_, *pipeline_, SystemClock(),
                                                        SystemEntropy(), leadership, &events_});
    signer_->Start();
  }
  ~PodCertificateSignerTest() override {
    if (signer_ != nullptr) signer_->Shutdown();
  }
  // Until `done` says so of the status, a minute long.
  bool Await(const std::function<bool(const PodSignerStatus&)>& done) {
    const absl::Time end = absl::Now() + absl::Minutes(1);
    while (absl::Now() < end) {
      if (done(signer_->Status())) return true;
      absl::SleepFor(absl::Milliseconds(5));
    }
    return false;
  }
  bool AwaitNothingPending() {
    return Await([](const PodSignerStatus& status) { return status.age < absl::Hours(1) && status.pending == 0; });
  }
  bool AwaitTries(uint64_t count) {
    return Await([count](const PodSignerStatus& status) { return status.failed >= count; });
  }

  absl::Duration guard_every_ = absl::Milliseconds(50);
  const CertificateProfile profile_ = PodCertificateProfile(CertificateProfile());
  FakePods pods_;
  TestSnapshots authorities_{NewSnapshot(absl::Now())};
  ScriptedStore store_;
  RequestsCluster cluster_;
  kubernetes::FakeLeadership leadership_;
  kubernetes::KeptEvents events_;
  const PodRequest request_ = RequestForFront(*SoftwareKey::Generate(KeyType::kEcP256));
  std::unique_ptr<IssuancePipeline> pipeline_;
  std::unique_ptr<kubernetes::ApiServer> server_;
  std::unique_ptr<PodCertificateSigner> signer_;
};

TEST_F(PodCertificateSignerTest, RecordsBeforeItAnswersAndAnswersOnce) {
  store_.Hold();
  cluster_.Put(request_);
  Start();
  store_.WaitForHeld(1);
  EXPECT_EQ(cluster_.writes(), 0u) << "the record is not durable yet";
  store_.Release();
  const std::vector<std::string> writes = cluster_.AwaitWrites(1);
  ASSERT_THAT(writes, SizeIs(1));
  const kubernetes::PickedFields written = *kubernetes::PickFields(
      writes[0], {"status.certificateChain", "status.conditions[].type", "metadata.resourceVersion"});
  EXPECT_EQ(written.Text(1), "Issued");
  EXPECT_EQ(written.Text(2), "1");
  const auto chain = PemDecodeAll(written.Text(0), kPemCertificate);
  ASSERT_TRUE(chain.ok()) << chain.status();
  ASSERT_EQ(chain->size(), 2u) << "the leaf and its authority, no root";
  const IssuanceRecord record = store_.records().front();
  EXPECT_EQ(record.certificate_sha256, Certificate::Parse(chain->front())->sha256());
  EXPECT_EQ(record.method, AuthMethod::kPodCertificate);
  EXPECT_EQ(record.origin.reference, "web/front front-account front-pod pod-certificate-request");
  ASSERT_TRUE(AwaitNothingPending());
  EXPECT_EQ(signer_->Status().issued, 1u);
  EXPECT_EQ(cluster_.writes(), 1u);
  EXPECT_EQ(store_.records().size(), 1u);
}

TEST_F(PodCertificateSignerTest, SignsAndAnswersNothingWhileAnotherLeads) {
  cluster_.Put(request_);
  Start(false, &leadership_);
  ASSERT_TRUE(Await([](const PodSignerStatus& status) { return status.admission.ok() && status.pending == 1; }));
  EXPECT_EQ(store_.records().size(), 0u);
  // Lost between its record and its answer, the answer stays away until it is had again.
  store_.Hold();
  leadership_.Set(true);
  store_.WaitForHeld(1);
  leadership_.Set(false);
  store_.Release();
  ASSERT_TRUE(AwaitTries(1));
  EXPECT_EQ(cluster_.writes(), 0u);
  EXPECT_EQ(signer_->Status().pending, 1u);
  leadership_.Set(true);
  ASSERT_THAT(cluster_.AwaitWrites(1), SizeIs(1));
  ASSERT_TRUE(AwaitNothingPending());
  EXPECT_EQ(store_.records().size(), 1u) << "the certificate that was recorded is handed out";
}

TEST_F(PodCertificateSignerTest, AnswersWhatComesByTheWatch) {
  Start();
  ASSERT_TRUE(AwaitNothingPending());
  cluster_.Put(request_);
  const std::vector<std::string> writes = cluster_.AwaitWrites(1);
  ASSERT_THAT(writes, SizeIs(1));
  EXPECT_EQ(kubernetes::PickFields(writes[0], {"metadata.resourceVersion"})->Text(0), "1");
}

TEST_F(PodCertificateSignerTest, LeavesWhatIsAnsweredAlone) {
  cluster_.Put(request_, "Denied");
  PodRequest second = request_;
  second.name = "req-2";
  second.uid = "second-uid";
  cluster_.Put(second);
  Start();
  ASSERT_THAT(cluster_.AwaitWrites(1), SizeIs(1));
  ASSERT_TRUE(AwaitNothingPending());
  EXPECT_THAT(cluster_.AwaitWrites(1)[0], HasSubstr("req-2"));
}

TEST_F(PodCertificateSignerTest, SignsNothingUntilThePolicyIsThere) {
  cluster_.HavePolicy(false);
  cluster_.Put(request_);
  Start();
  ASSERT_TRUE(Await([](const PodSignerStatus& status) {
    return absl::IsFailedPrecondition(status.admission) && status.pending == 1;
  }));
  EXPECT_EQ(store_.records().size(), 0u);
  cluster_.HavePolicy(true);
  EXPECT_THAT(cluster_.AwaitWrites(1), SizeIs(1));
}

TEST_F(PodCertificateSignerTest, WhatWasThereBeforeThePolicyIsNotSigned) {
  PodRequest early = request_;
  early.name = "early";
  early.uid = "early-uid";
  early.created -= absl::Hours(1);
  cluster_.Put(early);
  cluster_.Put(request_);
  Start();
  const std::vector<std::string> writes = cluster_.AwaitWrites(1);
  ASSERT_THAT(writes, SizeIs(1));
  EXPECT_THAT(writes[0], Not(HasSubstr("early")));
  ASSERT_TRUE(Await([](const PodSignerStatus& status) { return status.awaiting == 1; }));
  EXPECT_THAT(signer_->Status().awaits, HasSubstr("before the admission policy took hold"));
  EXPECT_EQ(signer_->Status().failed, 0u);
}

TEST_F(PodCertificateSignerTest, ALookFromBeforeARequestSaysNothingOfIt) {
  guard_every_ = absl::Hours(1);
  Start();
  ASSERT_TRUE(Await([](const PodSignerStatus& status) { return status.admission.ok(); }));
  // Weakened for less than it takes to look again: the request is from the time after, by its own clock, and the
  // policy is again as it was.
  cluster_.WritePolicyTwice();
  PodRequest forged = request_;
  forged.created = absl::Now();
  cluster_.Put(forged);
  ASSERT_TRUE(Await([](const PodSignerStatus& status) { return status.awaiting == 1; }));
  EXPECT_THAT(signer_->Status().awaits, HasSubstr("before the admission policy took hold"));
  EXPECT_THAT(store_.records(), SizeIs(0));
}

TEST_F(PodCertificateSignerTest, WhatCameWhileThePolicyWasAwayIsNotSignedThoughItIsAsOldAsBefore) {
  Start();
  ASSERT_TRUE(Await([](const PodSignerStatus& status) { return status.admission.ok(); }));
  cluster_.HavePolicy(false);
  ASSERT_TRUE(Await([](const PodSignerStatus& status) { return absl::IsFailedPrecondition(status.admission); }));
  PodRequest forged = request_;
  forged.created = absl::Now();
  cluster_.Put(forged);
  cluster_.HavePolicy(true);
  ASSERT_TRUE(Await([](const PodSignerStatus& status) { return status.awaiting == 1; }));
  EXPECT_THAT(signer_->Status().awaits, HasSubstr("before the admission policy took hold"));
  EXPECT_THAT(store_.records(), SizeIs(0));
}

TEST_F(PodCertificateSignerTest, SignsWithoutThePolicyWhereThatIsSaid) {
  cluster_.HavePolicy(false);
  cluster_.Put(request_);
  Start(true);
  EXPECT_THAT(cluster_.AwaitWrites(1), SizeIs(1));
  EXPECT_THAT(cluster_.asked(), Not(Contains(HasSubstr("validatingadmission"))));
}

TEST_F(PodCertificateSignerTest, WaitsForAPodThatIsNotKnownYet) {
  pods_.Delete("front-account");
  FakePods& pods = pods_;
  PodRequest late = request_;
  late.pod_uid = "late-pod";
  late.account_uid = "late-account";
  cluster_.Put(late);
  Start();
  ASSERT_TRUE(AwaitTries(5));
  EXPECT_THAT(signer_->Status().waits, HasSubstr("no pod of uid \"late-pod\" is known yet"));
  EXPECT_EQ(cluster_.writes(), 0u);
  pods.PutAccount({"web", "front"}, "late-account");
  pods.Put("late-pod", FrontPod());
  EXPECT_THAT(cluster_.AwaitWrites(1)[0], HasSubstr("Issued"));
}

TEST_F(PodCertificateSignerTest, APassingFaultIsNeverAnAnswer) {
  store_.Answer({absl::UnavailableError("database away"), absl::UnavailableError("database away"),
                 absl::ResourceExhaustedError("queue full")});
  cluster_.Put(request_);
  Start();
  const std::vector<std::string> writes = cluster_.AwaitWrites(1);
  ASSERT_THAT(writes, SizeIs(1));
  EXPECT_THAT(writes[0], HasSubstr("Issued"));
  EXPECT_EQ(signer_->Status().failed, 3u);
}

TEST_F(PodCertificateSignerTest, WritesTheSameCertificateAgainWhereTheApiServerWasAway) {
  cluster_.AnswerWrites({kubernetes::HttpAnswer(503, "away"),
                         kubernetes::HttpAnswer(409, kubernetes::StatusOf(409, "Conflict", "changed meanwhile"))});
  cluster_.Put(request_);
  Start();
  const std::vector<std::string> writes = cluster_.AwaitWrites(3);
  ASSERT_THAT(writes, SizeIs(3));
  EXPECT_EQ(store_.records().size(), 1u) << "it was recorded once";
  ASSERT_TRUE(AwaitNothingPending());
}

TEST_F(PodCertificateSignerTest, AProxyThatHasLostTheApiServerEndsNoRequest) {
  const std::string lost = kubernetes::HttpAnswer(404, "404 page not found\n");
  cluster_.AnswerWrites({lost});
  cluster_.AnswerGets({lost});
  cluster_.Put(request_);
  Start();
  ASSERT_THAT(cluster_.AwaitWrites(2), SizeIs(2));
  EXPECT_EQ(store_.records().size(), 1u) << "it was recorded once";
  ASSERT_TRUE(AwaitNothingPending());
}

TEST_F(PodCertificateSignerTest, AnAnswerThatSomebodyElseWasFirstToGiveCounts) {
  cluster_.AnswerWrites({kubernetes::HttpAnswer(422, kubernetes::StatusOf(422, "Invalid", "immutable after issued"))},
                        [this] { cluster_.Put(request_, "Issued"); });
  cluster_.Put(request_);
  Start();
  ASSERT_THAT(cluster_.AwaitWrites(1), SizeIs(1));
  ASSERT_TRUE(AwaitNothingPending());
  EXPECT_EQ(cluster_.writes(), 1u);
  EXPECT_EQ(signer_->Status().waits, "");
}

TEST_F(PodCertificateSignerTest, DeniesWhatIsWrongForEver) {
  PodRequest forged = request_;
  forged.node = "node-2";
  cluster_.Put(forged);
  Start();
  const std::vector<std::string> writes = cluster_.AwaitWrites(1);
  ASSERT_THAT(writes, SizeIs(1));
  EXPECT_THAT(writes[0], HasSubstr(R"("type":"Denied","status":"True","reason":"PodMismatch")"));
  ASSERT_TRUE(AwaitNothingPending());
  ASSERT_TRUE(Await([](const PodSignerStatus& status) { return status.denied == 1; }));
  const std::vector<kubernetes::ObjectEvent> told = events_.all();
  ASSERT_THAT(told, SizeIs(2));
  EXPECT_EQ(told[0].regarding.kind, "PodCertificateRequest");
  EXPECT_EQ(told[0].regarding.uid, request_.uid);
  EXPECT_EQ(told[1].regarding, (kubernetes::ObjectReference{"v1", "Pod", "web", "front-1", "front-pod"}));
  for (const kubernetes::ObjectEvent& event : told) {
    EXPECT_EQ(event.reason, "PodCertificateDenied");
    EXPECT_THAT(event.note, HasSubstr("PodMismatch"));
  }
  EXPECT_EQ(store_.records().size(), 0u);
}

TEST_F(PodCertificateSignerTest, TakesTheOlderApiWhereTheNewerIsNotServed) {
  cluster_.ServeVersions({"v1beta1"});
  PodRequest older = request_;
  MakeOlder(*SoftwareKey::Generate(KeyType::kEcP256), "front-pod", older);
  cluster_.Put(older);
  Start();
  const std::vector<std::string> writes = cluster_.AwaitWrites(1);
  ASSERT_THAT(writes, SizeIs(1));
  EXPECT_THAT(writes[0], HasSubstr("certificates.k8s.io/v1beta1"));
  EXPECT_THAT(writes[0], HasSubstr("Issued"));
}

TEST_F(PodCertificateSignerTest, LooksInTheOlderApiForAKeyThatTheNewerDoesNotShow) {
  PodRequest older = request_;
  MakeOlder(*SoftwareKey::Generate(KeyType::kEcP256), "front-pod", older);
  cluster_.Put(older);
  Start();
  const std::vector<std::string> writes = cluster_.AwaitWrites(1);
  ASSERT_THAT(writes, SizeIs(1));
  EXPECT_THAT(writes[0], HasSubstr("certificates.k8s.io/v1\""));
  EXPECT_THAT(writes[0], HasSubstr("Issued"));
}

TEST_F(PodCertificateSignerTest, DoesNotDenySuchARequestThatTheWatchTellsOfWhileItIsRead) {
  PodRequest older = request_;
  MakeOlder(*SoftwareKey::Generate(KeyType::kEcP256), "front-pod", older);
  cluster_.TellBeforeGets();
  cluster_.Put(older);
  Start();
  const std::vector<std::string> writes = cluster_.AwaitWrites(1);
  ASSERT_THAT(writes, SizeIs(1));
  EXPECT_THAT(writes[0], HasSubstr(R"("type":"Issued")"));
  EXPECT_EQ(signer_->Status().denied, 0u);
}

TEST_F(PodCertificateSignerTest, DoesNotForgetSuchAKeyWhereTheAnswerHasToBeWrittenAgain) {
  PodRequest older = request_;
  MakeOlder(*SoftwareKey::Generate(KeyType::kEcP256), "front-pod", older);
  cluster_.AnswerWrites({kubernetes::HttpAnswer(409, kubernetes::StatusOf(409, "Conflict", "changed meanwhile"))});
  cluster_.Put(older);
  Start();
  const std::vector<std::string> writes = cluster_.AwaitWrites(2);
  ASSERT_THAT(writes, SizeIs(2));
  EXPECT_THAT(writes[1], HasSubstr(R"("type":"Issued")"));
}

TEST_F(PodCertificateSignerTest, SaysThatNoVersionIsServed) {
  cluster_.ServeVersions({});
  Start();
  EXPECT_TRUE(Await([](const PodSignerStatus& status) { return status.unserved; }));
}

TEST_F(PodCertificateSignerTest, WaitsUntilAnAuthorityThatEndsIsRenewed) {
  const auto later = authorities_.Current();
  authorities_.Publish(NewSnapshot(absl::Now() - absl::Hours(24 * 30) + absl::Minutes(40)));
  cluster_.Put(request_);
  Start();
  ASSERT_TRUE(AwaitTries(2));
  EXPECT_EQ(store_.records().size(), 0u) << "nothing is recorded that could not be used";
  authorities_.Publish(later);
  EXPECT_THAT(cluster_.AwaitWrites(1), SizeIs(1));
}

TEST_F(PodCertificateSignerTest, EndsWithRequestsUnderWay) {
  store_.Hold();
  cluster_.Put(request_);
  Start();
  store_.WaitForHeld(1);
  std::thread releases([this] { store_.Release(); });
  signer_->Shutdown();
  releases.join();
  const size_t writes = cluster_.writes();
  EXPECT_LE(writes, 1u);
  EXPECT_EQ(store_.records().size(), 1u);
}

}  // namespace
}  // namespace meshca
