#include <functional>
#include <memory>
#include <string>

#include "ca/request_signing/request_signer.h"
#include "ca/signing_requests/signing_request_kind.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/authn/fake_cluster.h"
#include "test/ca/signing_requests/signing_cluster.h"
#include "test/ca/signing_requests/signing_request_maker.h"

namespace meshca {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

class SigningRequestSigner : public testing::Test {
 protected:
  SigningRequestSigner() {
    pods_.PutAccount({"web", "front"}, "front-account");
    pods_.Put("front-pod", {.name = "front-1", .account = {"web", "front"}, .node = "node-1"});
  }

  void Start() {
    RequestSignerOptions options;
    options.signer_name = "meshca.io/workload";
    options.pending.retry_first = retry_first_;
    if (retry_first_ > options.pending.retry_last) options.pending.retry_last = retry_first_;
    pipeline_ = std::make_unique<IssuancePipeline>(CertificateProfile(), PipelineOptions{.threads = 1}, authorities_,
                                                   store_, SystemClock(), SystemEntropy());
    server_ = cluster_.Connect(outage_);
    signer_ = std::make_unique<RequestSigner>(
        std::move(options), RequestSigner::Parts{*server_, kind_, *pipeline_, SystemClock(), SystemEntropy()});
    signer_->Start();
  }
  ~SigningRequestSigner() override {
    if (signer_ != nullptr) signer_->Shutdown();
  }
  // Until `done` says so of the status, a minute long.
  bool Await(const std::function<bool(const RequestSignerStatus&)>& done) {
    const absl::Time end = absl::Now() + absl::Minutes(1);
    while (absl::Now() < end) {
      if (done(signer_->Status())) return true;
      absl::SleepFor(absl::Milliseconds(5));
    }
    return false;
  }

  absl::Duration retry_first_ = absl::Milliseconds(20);
  kubernetes::OutageTerms outage_ = kubernetes::WithoutProbes();
  FakePods pods_;
  const SigningRequestKind kind_{TestSigningRules(), pods_};
  TestSnapshots authorities_{NewSnapshot(absl::Now())};
  ScriptedStore store_;
  SigningCluster cluster_;
  SigningRequest request_ = OwnSigningRequest();
  std::unique_ptr<IssuancePipeline> pipeline_;
  std::unique_ptr<kubernetes::ApiServer> server_;
  std::unique_ptr<RequestSigner> signer_;
};

TEST_F(SigningRequestSigner, ApprovesRecordsAndThenHandsOut) {
  store_.Hold();
  cluster_.Put(request_);
  Start();
  store_.WaitForHeld(1);
  ASSERT_THAT(cluster_.AwaitWrites(1), SizeIs(1)) << "the record is not durable yet";
  EXPECT_EQ(cluster_.AwaitWrites(1)[0].part, "approval");
  store_.Release();
  const std::vector<SigningCluster::Write> writes = cluster_.AwaitWrites(2);
  ASSERT_THAT(writes, SizeIs(2));
  EXPECT_EQ(writes[1].part, "status");
  const std::string value = R"("path":"/status/certificate","value":")";
  std::string pem;
  const size_t at = writes[1].body.find(value) + value.size();
  ASSERT_TRUE(absl::Base64Unescape(writes[1].body.substr(at, writes[1].body.find('"', at) - at), &pem));
  const auto chain = PemDecodeAll(pem, kPemCertificate);
  ASSERT_TRUE(chain.ok()) << chain.status();
  ASSERT_EQ(chain->size(), 2u) << "the leaf and its authority, no root";
  const IssuanceRecord record = store_.records().front();
  EXPECT_EQ(record.certificate_sha256, Certificate::Parse(chain->front())->sha256());
  EXPECT_EQ(record.method, AuthMethod::kSigningRequest);
  EXPECT_EQ(record.origin.reference, "web/front front-account front-pod certificate-signing-request");
  ASSERT_TRUE(Await([](const auto& status) { return status.issued == 1 && status.pending == 0; }));
  EXPECT_EQ(store_.records().size(), 1u);
}

TEST_F(SigningRequestSigner, AStrangersIsSignedOnceSomebodyHasApprovedIt) {
  request_.username = "alice";
  cluster_.Put(request_);
  Start();
  ASSERT_TRUE(Await([](const auto& status) { return status.awaiting == 1; }));
  EXPECT_THAT(signer_->Status().awaits,
              HasSubstr("CertificateSigningRequest csr-1 of alice: it asks for the identity"));
  EXPECT_EQ(signer_->Status().pending, 0u);
  EXPECT_THAT(cluster_.AwaitWrites(0), SizeIs(0));
  EXPECT_THAT(store_.records(), SizeIs(0));
  request_.is_approved = true;
  cluster_.Put(request_);
  const std::vector<SigningCluster::Write> writes = cluster_.AwaitWrites(1);
  ASSERT_THAT(writes, SizeIs(1));
  EXPECT_EQ(writes[0].part, "status");
  ASSERT_TRUE(Await([](const auto& status) { return status.awaiting == 0 && status.issued == 1; }));
}

TEST_F(SigningRequestSigner, OneThatIsLongerThanAnyAnswerThatIsHeldIsAnsweredAtOnce) {
  cluster_.Annotate(8 * 1024 * 1024);
  cluster_.Put(request_);
  Start();
  ASSERT_TRUE(Await([](const auto& status) { return status.issued == 1 && status.pending == 0; }));
  EXPECT_EQ(signer_->Status().failed, 0u);
  EXPECT_THAT(cluster_.AwaitWrites(2), SizeIs(2));
  EXPECT_EQ(store_.records().size(), 1u);
}

TEST_F(SigningRequestSigner, WhatCanNeverBeSignedIsDeniedAndWhatWasApprovedFails) {
  SigningRequest approved = request_;
  approved.name = "csr-2";
  approved.uid = "csr-uid-2";
  approved.is_approved = true;
  for (SigningRequest* const one : {&request_, &approved}) {
    one->pkcs10 = Pkcs10For({{"spiffe://other.test/x"}, {}, {}, false});
    cluster_.Put(*one);
  }
  Start();
  const std::vector<SigningCluster::Write> writes = cluster_.AwaitWrites(2);
  ASSERT_THAT(writes, SizeIs(2));
  for (const SigningCluster::Write& write : writes) {
    EXPECT_THAT(write.body, HasSubstr(write.part == "status" ? "\"Failed\"" : "\"Denied\""));
    EXPECT_THAT(write.body, HasSubstr("NoIdentity"));
  }
  EXPECT_NE(writes[0].part, writes[1].part);
  ASSERT_TRUE(Await([](const auto& status) { return status.denied == 2 && status.pending == 0; }));
  EXPECT_THAT(store_.records(), SizeIs(0));
}

TEST_F(SigningRequestSigner, WithoutTheRightItSaysSoAndTheRecordedCertificateIsHandedOutLater) {
  request_.is_approved = true;
  const std::string refused = kubernetes::HttpAnswer(
      403, kubernetes::StatusOf(403, "Forbidden", "user not permitted to sign requests with signerName"));
  cluster_.AnswerWrites({refused, refused, refused, refused, refused, refused});
  cluster_.Put(request_);
  Start();
  ASSERT_TRUE(Await([](const auto& status) { return status.issued == 1; }));
  EXPECT_GE(signer_->Status().failed, 6u);
  EXPECT_EQ(store_.records().size(), 1u) << "each attempt hands out what is recorded";
}

TEST_F(SigningRequestSigner, HandsOutAsSoonAsAnApiServerThatWasAwayIsBack) {
  retry_first_ = absl::Hours(1000);
  outage_.probe_every = absl::Milliseconds(5);
  store_.Hold();
  cluster_.Put(request_);
  Start();
  store_.WaitForHeld(1);
  cluster_.GoAway(true);
  store_.Release();
  ASSERT_TRUE(
      Await([this](const RequestSignerStatus& status) { return status.failed > 0 && server_->reachability().away(); }));
  EXPECT_THAT(cluster_.AwaitWrites(1), SizeIs(1)) << "the approval";
  cluster_.GoAway(false);
  ASSERT_THAT(cluster_.AwaitWrites(2), SizeIs(2));
  ASSERT_TRUE(Await([](const RequestSignerStatus& status) { return status.issued == 1; }));
  EXPECT_THAT(store_.records(), SizeIs(1)) << "the certificate that was recorded";
}

TEST_F(SigningRequestSigner, WhatMayPassIsTriedAgain) {
  request_.is_approved = true;
  store_.Answer({absl::UnavailableError("the database is away"), absl::ResourceExhaustedError("full")});
  cluster_.Put(request_);
  Start();
  ASSERT_TRUE(Await([](const auto& status) { return status.issued == 1; }));
  for (const SigningCluster::Write& write : cluster_.AwaitWrites(1)) {
    EXPECT_THAT(write.body, HasSubstr("/status/certificate"));
  }
}

}  // namespace
}  // namespace meshca
