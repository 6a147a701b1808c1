// What SDS is told of certificates is what the inventory holds.
#include "cli/server/inventory_certificates.h"

#include <string>

#include "ca/base/status.h"
#include "gtest/gtest.h"
#include "test/ca/spiffe/test_domain.h"
#include "test/fakes/counting_entropy.h"
#include "test/fakes/fake_clock.h"
#include "test/fakes/memory_store.h"

namespace meshca::cli {
namespace {

class InventoryCertificatesTest : public testing::Test {
 protected:
  InventoryCertificatesTest() {
    AuthorityChange change;  // a store takes records of active authorities alone
    change.trust_domain = TestDomain().name();
    change.authorities.emplace_back().id = "issuing";
    change.authorities.back().state = AuthorityState::kActive;
    change.audit.emplace_back().action = "authority.activate";
    EXPECT_TRUE(store_.CommitAuthorities(change).ok());
  }

  // Records a certificate of web's that renews `parent_serial`, or none.
  PresentedCertificate Record(const std::string& parent_serial) {
    IssuanceRecord record;
    record.authority_id = "issuing";
    record.serial = SerialNumber::Make(clock_.Now(), entropy_);
    record.spiffe_id = *SpiffeId::FromParts(TestDomain(), "/web");
    ++recorded_;
    record.certificate_sha256 = std::string(32, static_cast<char>(recorded_));
    record.key_sha256 = std::string(32, static_cast<char>(100 + recorded_));
    record.issued_at = record.not_before = clock_.Now();
    record.not_after = clock_.Now() + absl::Hours(24);
    record.method = AuthMethod::kServerUser;
    record.origin = {OriginKind::kOperator, "uid 0"};
    record.parent_serial = parent_serial;
    store_.Append(record, [](absl::Status status) { EXPECT_TRUE(status.ok()) << status; });
    PresentedCertificate shown;
    shown.serial = record.serial.ToHex();
    shown.sha256 = record.certificate_sha256;
    shown.spiffe_id = record.spiffe_id;
    return shown;
  }

  void Revoke(const std::string& serial) {
    RevocationSelection selection;
    selection.serial = serial;
    AuditEntry audit;
    audit.action = "certificate.revoke";
    const auto revoked = store_.Revoke(selection, RevocationReason{}, /*dry_run=*/false, audit,
                                       [](const IssuanceRecord&) { return true; });
    ASSERT_TRUE(revoked.ok()) << revoked.status();
  }

  FakeClock clock_;
  CountingEntropy entropy_;
  MemoryStore store_;
  int recorded_ = 0;
  InventoryCertificates certificates_{store_};
};

TEST_F(InventoryCertificatesTest, ACertificateOnRecordHasItsParentAndItsLine) {
  const PresentedCertificate first = Record(""), second = Record(first.serial), third = Record(second.serial);
  const auto of_first = certificates_.Judge(first, nullptr), of_third = certificates_.Judge(third, nullptr);
  ASSERT_TRUE(of_first.ok() && of_third.ok()) << of_first.status() << of_third.status();
  EXPECT_EQ(of_first->parent_serial, "");
  EXPECT_EQ(of_first->line_serial, "") << "it is the first of its line itself";
  EXPECT_EQ(of_third->parent_serial, second.serial);
  EXPECT_EQ(of_third->line_serial, first.serial);
}

TEST_F(InventoryCertificatesTest, OneWithoutARecordIsRefusedWithTheStoresReason) {
  PresentedCertificate forged = Record("");
  forged.serial = SerialNumber::Make(clock_.Now(), entropy_).ToHex();
  const absl::Status refused = certificates_.Judge(forged, nullptr).status();
  EXPECT_TRUE(absl::IsUnauthenticated(refused)) << refused;
  EXPECT_EQ(ReasonOf(refused), "CERTIFICATE_NOT_RECORDED");
}

TEST_F(InventoryCertificatesTest, RenewalsAreFollowedOneStepAtATime) {
  const PresentedCertificate first = Record(""), second = Record(first.serial);
  EXPECT_EQ(*certificates_.ParentOf(second.serial), first.serial);
  EXPECT_EQ(*certificates_.ParentOf(first.serial), "");
  EXPECT_TRUE(absl::IsNotFound(certificates_.ParentOf("0102030405060708090a0b0c0d0e0f10").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(certificates_.ParentOf("no serial number").status()));
}

TEST_F(InventoryCertificatesTest, RevokedIsWhatTheInventorySaysAndOneThatItDoesNotKnowIsNot) {
  const PresentedCertificate kept = Record(""), revoked = Record("");
  Revoke(revoked.serial);
  EXPECT_TRUE(*certificates_.IsRevoked(revoked.serial));
  EXPECT_FALSE(*certificates_.IsRevoked(kept.serial));
  EXPECT_FALSE(*certificates_.IsRevoked("0102030405060708090a0b0c0d0e0f10"));
  EXPECT_EQ(ReasonOf(certificates_.Judge(revoked, nullptr).status()), "CERTIFICATE_REVOKED");
}

}  // namespace
}  // namespace meshca::cli
