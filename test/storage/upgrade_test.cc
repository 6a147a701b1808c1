// The state folder of a server of version 0.1.0, opened by the meshca of today.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ca/authority/key_encryption.h"
#include "storage/sqlite/schema.h"
#include "storage/sqlite/sqlite_store.h"
#include "test/fakes/fake_clock.h"
#include "test/fakes/status_matchers.h"
#include "test/fakes/temp_folder.h"
#include "test/storage/conformance.h"

namespace meshca::storage {
namespace {

using absl::StatusCode;
using testing::HasSubstr;
using testing::SizeIs;

// What its README says it holds.
constexpr char kWebFirst[] = "35855d1c3e21c37a240e44d99c7465fd";
constexpr char kWebLast[] = "35855d1dfc9007e47a758f6c035db725";
constexpr char kDbFirst[] = "35855d1cb9035a6293f8849a179dd9d9";
constexpr char kDbLast[] = "35855d1e5c124775d1c3a11397c774c8";
constexpr char kOperators[] = "35855d1d0f50c1eede370cfc859f8c82";
const absl::Time kThen = absl::FromUnixSeconds(1795865200);  // 2026-11-28, minutes later

class StateOf010 : public testing::Test {
 protected:
  StateOf010() : clock_(kThen) {
    for (const char* name : {"meshca.db", "kek"}) {
      std::filesystem::copy_file(std::string(TESTDATA) + "/state-0.1.0/" + name, folder_ / name);
      EXPECT_EQ(chmod((folder_ / name).c_str(), 0600), 0);
    }
    keys_.emplace(*KeyEncryption::FromFile(folder_ / "kek", /*create=*/false));
    SqliteOptions options;
    options.path = folder_ / "meshca.db";
    options.keys = &*keys_;
    options.clock = &clock_;
    auto opened = OpenSqliteStore(options);
    EXPECT_THAT(opened, IsOk());
    store_ = *std::move(opened);
  }
  IssuanceRecord Find(const char* serial) { return *store_->Find(*SerialNumber::FromHex(serial)); }
  IssuanceRecord RenewalOf(const IssuanceRecord& issued) {
    IssuanceRecord record = storage::RenewalOf(issued, maker_);
    record.authority_id = issued.authority_id;
    return record;
  }
  // The record as it is written, of the renewal of `serial`.
  IssuanceRecord Renewed(const char* serial) {
    const IssuanceRecord record = RenewalOf(Find(serial));
    EXPECT_THAT(AppendAndWait(*store_, record), IsOk());
    return *store_->Find(record.serial);
  }

  TempFolder folder_;
  FakeClock clock_;
  std::optional<KeyEncryption> keys_;
  std::unique_ptr<Store> store_;
  RecordMaker maker_;
};

TEST_F(StateOf010, IsMigratedAndSoundAndBackedUpFirst) {
  EXPECT_EQ(store_->Health().schema_version, Migrations().back().version);
  EXPECT_THAT(store_->Check(), IsOk());
  EXPECT_TRUE(std::filesystem::exists(folder_ / "meshca.db.schema-2-backup"));
}

TEST_F(StateOf010, HoldsWhatWasRecorded) {
  EXPECT_EQ(*store_->CountIssuances(), 9u);
  EXPECT_EQ(Find(kWebLast).spiffe_id.uri(), "spiffe://cluster.local/ns/default/sa/web");
  EXPECT_EQ(Find(kWebLast).method, AuthMethod::kClientCertificate);
  EXPECT_EQ(Find(kDbFirst).node, "node-7");
  EXPECT_EQ(Find(kWebFirst).origin.kind, OriginKind::kUnknown);
  EXPECT_EQ(Find(kWebFirst).revoked_at, absl::InfiniteFuture());
  const auto trust = store_->LoadAuthorities();
  ASSERT_THAT(trust, IsOk());
  EXPECT_EQ(trust->trust_domain, "cluster.local");
  EXPECT_THAT(trust->authorities, SizeIs(2));
  EXPECT_TRUE(trust->bundle.has_value());
  EXPECT_THAT(*store_->ListEntries(), SizeIs(2));
  EXPECT_THAT(*store_->ListTokens(), SizeIs(2));
  EXPECT_THAT(*store_->LoadSubscribers(), SizeIs(1));
  // MACs without a version byte stay good when a new row stands beside them.
  ASSERT_THAT(store_->CreateEntry(TestEntry("new"), TestAudit()), IsOk());
  EXPECT_THAT(*store_->ListEntries(), SizeIs(3));
}

TEST_F(StateOf010, ALineOfOldRecordsIsRenewedByWhatGaveItsFirstTheRight) {
  const IssuanceRecord web = Renewed(kWebLast);
  EXPECT_EQ(web.line_serial, kWebFirst);
  EXPECT_EQ(OriginText(web.origin), "entry");
  const IssuanceRecord db = Renewed(kDbLast);
  EXPECT_EQ(db.line_serial, kDbFirst);
  EXPECT_EQ(OriginText(db.origin), "join-token 66f944654e3d27b7");
  EXPECT_EQ(OriginText(Renewed(kOperators).origin), "operator uid 0");

  ASSERT_THAT(store_->DeleteEntry("web-uid-2000", TestAudit()), IsOk());
  for (const IssuanceRecord& leaf : {web, Find(kWebLast), Find(kWebFirst)}) {
    EXPECT_THAT(AppendAndWait(*store_, RenewalOf(leaf)),
                StatusIs(StatusCode::kPermissionDenied, HasSubstr("no registration entry")));
  }
  EXPECT_THAT(AppendAndWait(*store_, RenewalOf(db)), IsOk());
}

TEST_F(StateOf010, ALineOfOldRecordsIsRevokedWhole) {
  RevocationSelection selection;
  selection.serial = kDbFirst;
  AuditEntry audit = TestAudit("cert.revoke");
  audit.time = kThen;
  const auto revoked = store_->Revoke(selection, RevocationReason::kSuperseded, false, audit,
                                      [](const IssuanceRecord&) { return true; });
  ASSERT_THAT(revoked, IsOk());
  EXPECT_EQ(revoked->certificates, 3u);
  EXPECT_EQ(revoked->lines, 1u);
  EXPECT_THAT(AppendAndWait(*store_, RenewalOf(Find(kDbLast))), HasReason(kCertificateRevoked));
}

}  // namespace
}  // namespace meshca::storage
