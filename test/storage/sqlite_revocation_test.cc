// Revocation in SQLite: in steps, beside issuance that goes on, through crashes, and until it is forgotten.
#include <gmock/gmock.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "storage/sqlite/database.h"
#include "test/fakes/status_matchers.h"
#include "test/storage/conformance.h"
#include "test/storage/sqlite_harness.h"

namespace meshca::storage {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

absl::StatusOr<RevocationResult> RevokeAll(Store& store, const std::string& glob) {
  RevocationSelection selection;
  selection.spiffe_id_glob = glob;
  return store.Revoke(selection, RevocationReason::kUnspecified, /*dry_run=*/false, TestAudit("cert.revoke"),
                      [](const IssuanceRecord&) { return true; });
}

std::vector<std::string> Unrevoked(Store& store, const std::string& glob) {
  std::vector<std::string> serials;
  IssuanceFilter filter;
  filter.spiffe_id_glob = glob;
  EXPECT_THAT(store.List(filter,
                         [&](const IssuanceRecord& record) {
                           if (record.revoked_at == absl::InfiniteFuture()) serials.push_back(record.serial.ToHex());
                           return true;
                         }),
              IsOk());
  return serials;
}

const char* const kRevokedTables[] = {"revoked_certificate", "revoked_line", "revoked_key", "revocation_operation"};

// Every line is renewed as fast as the store allows while all of them are revoked: whatever got in before the
// revocation counted is revoked with it, and nothing gets in afterwards.
TEST(SqliteRevocation, WhatIsRenewedMeanwhileIsRevokedTooAndNothingGetsInAfterwards) {
  SqliteHarness harness;
  Store& store = harness.store();
  Activate(store);
  RecordMaker maker;
  std::vector<IssuanceRecord> leaves;
  for (int i = 0; i < 900; ++i) {
    IssuanceRecord record = maker.Make("spiffe://cluster.local/line");
    record.origin = {OriginKind::kOperator, "uid 0"};
    leaves.push_back(record);
    store.Append(record, [](absl::Status status) { EXPECT_THAT(status, IsOk()); });
  }
  ASSERT_THAT(store.Probe(), IsOk());
  std::atomic<int> renewed = 0;
  std::thread renewing([&] {
    RecordMaker more(1000000);
    absl::Status status;
    for (size_t i = 0; status.ok(); i = (i + 7) % leaves.size()) {
      const IssuanceRecord renewal = RenewalOf(leaves[i], more);
      status = AppendAndWait(store, renewal);
      if (status.ok()) {
        leaves[i] = renewal;
        ++renewed;
      }
    }
    EXPECT_THAT(status, HasReason(kCertificateRevoked));
  });
  while (renewed < 5) std::this_thread::yield();
  const auto result = RevokeAll(store, "*/line");
  renewing.join();
  ASSERT_THAT(result, IsOk());
  EXPECT_EQ(result->lines, 900u);
  EXPECT_EQ(result->certificates, 900u + static_cast<uint64_t>(renewed));
  EXPECT_THAT(Unrevoked(store, "*"), IsEmpty());
  EXPECT_THAT(store.Check(), IsOk());
}

TEST(SqliteRevocation, OneThatWasInterruptedMeansNothingAndIsSimplyRunAgain) {
  SqliteHarness harness;
  Activate(harness.store());
  RecordMaker maker;
  const IssuanceRecord record = maker.Make();
  ASSERT_THAT(AppendAndWait(harness.store(), record), IsOk());
  harness.Close();
  // As a server leaves it that was killed before the last step.
  Exec(harness.path(),
       "INSERT INTO revocation_operation(ref, revoked_at, reason, done) VALUES(1, 5, 1, 0);"
       "INSERT INTO revoked_certificate(serial, not_after, operation) SELECT serial, not_after, 1 FROM issuance;"
       "INSERT INTO revoked_line(line, not_after, operation) SELECT serial, not_after, 1 FROM issuance;"
       "INSERT INTO revoked_key(key_sha256, not_after, operation) SELECT key_sha256, not_after, 1 FROM issuance");
  ASSERT_TRUE(harness.Reopen());
  Store& store = harness.store();
  EXPECT_THAT(Unrevoked(store, "*"), SizeIs(1));
  EXPECT_THAT(store.JudgePresented(Shown(record), nullptr), IsOk());
  IssuanceRecord same_key = maker.Make("spiffe://cluster.local/other");
  same_key.key_sha256 = record.key_sha256;
  EXPECT_THAT(AppendAndWait(store, same_key), IsOk());
  ASSERT_THAT(RevokeAll(store, record.spiffe_id.uri()), IsOk());
  EXPECT_THAT(store.JudgePresented(Shown(record), nullptr), HasReason(kCertificateRevoked));
  EXPECT_THAT(Unrevoked(store, "*"), IsEmpty());
  EXPECT_EQ(store.Find(record.serial)->revoked_at, kTestNow) << "since the one that was finished";
}

TEST(SqliteRevocation, WhatAnInterruptedOneLeftIsPruned) {
  SqliteHarness harness;
  Activate(harness.store());
  RecordMaker maker;
  ASSERT_THAT(AppendAndWait(harness.store(), maker.Make()), IsOk());
  harness.Close();
  Exec(harness.path(),
       "INSERT INTO revocation_operation(ref, revoked_at, reason, done) VALUES(1, 5, 1, 0);"
       "INSERT INTO revoked_key(key_sha256, not_after, operation) SELECT key_sha256, not_after, 1 FROM issuance");
  ASSERT_TRUE(harness.Reopen());
  ASSERT_THAT(harness.store().Prune(kTestNow, 10), IsOk());
  for (const char* table : kRevokedTables) EXPECT_EQ(Count(harness.path(), table), 0) << table;
}

TEST(SqliteRevocation, IsForgottenWithTheLastCertificateOfItsLineAndKey) {
  SqliteHarness harness;
  Store& store = harness.store();
  Activate(store);
  RecordMaker maker;
  IssuanceRecord first = maker.Make("spiffe://cluster.local/x", kIssuingA, absl::Hours(1));
  first.origin = {OriginKind::kOperator, "uid 0"};
  ASSERT_THAT(AppendAndWait(store, first), IsOk());
  IssuanceRecord second = RenewalOf(first, maker);
  second.not_after = kTestNow + absl::Hours(5);
  ASSERT_THAT(AppendAndWait(store, second), IsOk());
  ASSERT_THAT(RevokeAll(store, "*"), IsOk());
  ASSERT_THAT(store.Prune(kTestNow + absl::Hours(3), 10), IsOk());
  EXPECT_THAT(store.Find(first.serial), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(Count(harness.path(), "revoked_certificate"), 1);
  EXPECT_EQ(Count(harness.path(), "revoked_line"), 1) << "the second lives on in it";
  EXPECT_THAT(store.JudgePresented(Shown(second), nullptr), HasReason(kCertificateRevoked));
  ASSERT_THAT(store.Prune(kTestNow + absl::Hours(6), 10), IsOk());
  for (const char* table : kRevokedTables) EXPECT_EQ(Count(harness.path(), table), 0) << table;
}

TEST(SqliteRevocation, ALineWhoseFirstIsNotOnRecordStaysRevokedLonger) {
  SqliteHarness harness;
  Store& store = harness.store();
  Activate(store);
  RecordMaker maker;
  IssuanceRecord renewal = maker.Make("spiffe://cluster.local/x");
  renewal.presented = PresentedCertificate{"0a0b0c", std::string(32, 'x'), renewal.spiffe_id, true};
  ASSERT_THAT(AppendAndWait(store, renewal), IsOk());
  ASSERT_THAT(RevokeAll(store, "*"), IsOk());
  ASSERT_THAT(store.Prune(kTestNow + absl::Hours(24 * 700), 10), IsOk());
  EXPECT_THAT(store.JudgePresented(*renewal.presented, nullptr), HasReason(kCertificateRevoked))
      << "nobody knows how long the first one lives";
  ASSERT_THAT(store.Prune(kTestNow + absl::Hours(24 * 827), 10), IsOk());
  for (const char* table : kRevokedTables) EXPECT_EQ(Count(harness.path(), table), 0) << table;
}

}  // namespace
}  // namespace meshca::storage
