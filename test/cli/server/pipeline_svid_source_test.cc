// Keys of SDS subscribers through a real issuance pipeline.
#include "cli/server/pipeline_svid_source.h"

#include <future>
#include <memory>
#include <utility>

#include "ca/base/status.h"
#include "ca/x509/chain_verifier.h"
#include "gtest/gtest.h"
#include "test/ca/issuance/test_ca.h"
#include "test/fakes/fake_clock.h"

namespace meshca::cli {
namespace {

class PipelineSvids : public testing::Test {
 protected:
  PipelineSvids() {
    auto snapshot = std::make_shared<AuthoritySnapshot>(*NewSnapshot(clock_.Now()));
    for (const Certificate& issuer : snapshot->chain_tail) snapshot->chain_tail_pem.push_back(issuer.pem().text());
    snapshot_ = snapshot;
    authorities_.Publish(snapshot_);
  }

  sds::SvidRequest Request() const { return {Id("/ns/default/sa/web"), WebCaller()}; }

  absl::StatusOr<sds::Svid> Obtain(sds::SvidRequest request) {
    std::promise<absl::StatusOr<sds::Svid>> answer;
    source_.Obtain(std::move(request), *key_,
                   [&](absl::StatusOr<sds::Svid> svid) { answer.set_value(std::move(svid)); });
    return answer.get_future().get();
  }

  FakeClock clock_;
  std::shared_ptr<const AuthoritySnapshot> snapshot_;
  TestSnapshots authorities_{nullptr};
  ScriptedStore store_;
  IssuancePipeline pipeline_{CertificateProfile(), PipelineOptions(), authorities_, store_, clock_, SystemEntropy()};
  PipelineSvidSource source_{pipeline_};
  const std::unique_ptr<SoftwareKey> key_ = *SoftwareKey::Generate(KeyType::kEcP256);
};

TEST_F(PipelineSvids, AnSvidIsWhatTheRecordSaysOfTheKeyThatWasAskedFor) {
  const absl::StatusOr<sds::Svid> svid = Obtain(Request());
  ASSERT_TRUE(svid.ok()) << svid.status();
  ASSERT_EQ(store_.records().size(), 1u) << "recorded before it is given";
  const IssuanceRecord record = store_.records().front();
  EXPECT_EQ(record.spiffe_id, Id("/ns/default/sa/web"));
  EXPECT_EQ(record.key_sha256, key_->public_key().sha256()) << "a public key is enough: nobody asks for a CSR";
  EXPECT_EQ(svid->serial, record.serial.ToHex());
  EXPECT_EQ(svid->authority_id, record.authority_id);
  EXPECT_EQ(svid->validity, (Validity{record.not_before, record.not_after}));
  const Certificate leaf = *svid->chain.ParseLeaf();
  EXPECT_EQ(leaf.serial_hex(), svid->serial);
  EXPECT_EQ(leaf.validity(), svid->validity);
}

TEST_F(PipelineSvids, TheSubscriberAndTheParentReachTheRecord) {
  sds::SvidRequest request = Request();
  request.caller.instance = "instance-7";
  request.caller.node = "node-7";
  request.caller.parent_serial = "0a0b";
  ASSERT_TRUE(Obtain(std::move(request)).ok());
  const IssuanceRecord record = store_.records().front();
  EXPECT_EQ(record.instance, "instance-7");
  EXPECT_EQ(record.node, "node-7");
  EXPECT_EQ(record.parent_serial, "0a0b");
  EXPECT_EQ(pipeline_.Stats().renewals_issued, 1u) << "whoever names a parent renews";
}

TEST_F(PipelineSvids, TheIssuersAreEncodedOnceForEverybody) {
  const absl::StatusOr<sds::Svid> one = Obtain(Request()), two = Obtain(Request());
  ASSERT_TRUE(one.ok() && two.ok());
  EXPECT_EQ(one->issuers_pem.get(), &snapshot_->chain_tail_pem)
      << "the snapshot's own text, which the SVID keeps alive";
  EXPECT_EQ(one->issuers_pem, two->issuers_pem);
  EXPECT_EQ(one->ChainPem(), one->chain.ToPem());
  sds::Svid without = *two;
  without.issuers_pem = nullptr;
  EXPECT_EQ(without.ChainPem(), two->ChainPem()) << "and where nobody has encoded them, it is done then";
}

TEST_F(PipelineSvids, ARefusalArrivesAsItIs) {
  sds::SvidRequest request = Request();
  request.id = Id("/ns/default/sa/other");
  const absl::Status refused = Obtain(std::move(request)).status();
  EXPECT_TRUE(absl::IsPermissionDenied(refused)) << refused;
  EXPECT_EQ(ReasonOf(refused), "SPIFFE_ID_NOT_ALLOWED");
  store_.Answer({WithReason(absl::UnauthenticatedError("revoked"), "CERTIFICATE_REVOKED")});
  EXPECT_EQ(ReasonOf(Obtain(Request()).status()), "CERTIFICATE_REVOKED");
}

}  // namespace
}  // namespace meshca::cli
