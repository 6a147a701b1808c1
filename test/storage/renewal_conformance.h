// What tests of renewals and revocations share, on every store.
#ifndef MESHCA_TEST_STORAGE_RENEWAL_CONFORMANCE_H_
#define MESHCA_TEST_STORAGE_RENEWAL_CONFORMANCE_H_

#include <gmock/gmock.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "test/fakes/status_matchers.h"
#include "test/storage/conformance.h"

namespace meshca::storage {

inline constexpr char kWeb[] = "spiffe://cluster.local/ns/default/sa/web";
inline constexpr char kReserved[] = "spiffe://cluster.local/meshca/other";

using Origins = std::shared_ptr<const TrustedOrigins>;

// Instantiated like StoreConformance, beside it.
class RenewalConformance : public StoreConformance {
 protected:
  RenewalConformance() { Activate(store()); }

  // Appends a certificate whose right is `origin`'s.
  IssuanceRecord Issue(Origin origin, absl::string_view id = kWeb) {
    IssuanceRecord record = maker_.Make(id);
    record.origin = std::move(origin);
    EXPECT_THAT(AppendAndWait(store(), record), IsOk());
    return record;
  }
  // Appends one as a version that kept no origin recorded it.
  IssuanceRecord IssueOld(AuthMethod method, const std::string& caller) {
    IssuanceRecord record = maker_.Make();
    record.method = method;
    record.caller = caller;
    EXPECT_THAT(AppendAndWait(store(), record), IsOk());
    return record;
  }
  // The same of a renewal then.
  IssuanceRecord RenewOld(const IssuanceRecord& parent) {
    IssuanceRecord record = RenewalOf(parent, maker_);
    record.presented.reset();
    EXPECT_THAT(AppendAndWait(store(), record), IsOk());
    return record;
  }
  // Renews `parent`, which is expected to go well.
  IssuanceRecord Renewed(const IssuanceRecord& parent) {
    const IssuanceRecord record = RenewalOf(parent, maker_);
    EXPECT_THAT(AppendJudged(record), IsOk());
    return record;
  }
  // What renewing `parent` answers.
  absl::Status Renew(const IssuanceRecord& parent, Origins origins = nullptr) {
    IssuanceRecord record = RenewalOf(parent, maker_);
    record.trusted_origins = std::move(origins);
    return AppendJudged(record);
  }
  // What Append answers, and JudgePresented too.
  absl::Status AppendJudged(const IssuanceRecord& record) {
    const uint64_t before = *store().CountIssuances();
    const absl::Status judged = store().JudgePresented(*record.presented, record.trusted_origins).status();
    const absl::Status appended = AppendAndWait(store(), record);
    EXPECT_EQ(judged, appended);
    EXPECT_EQ(*store().CountIssuances(), before + (appended.ok() ? 1 : 0));
    return appended;
  }
  // The serial numbers of the certificates that a rotation would wait for.
  std::vector<std::string> Unreplaced() {
    LeafQuery query;
    query.alive_at = kTestNow;
    std::vector<std::string> serials;
    EXPECT_THAT(store().VisitUnreplaced(query,
                                        [&](const LiveLeaf& leaf) {
                                          serials.push_back(leaf.serial);
                                          return true;
                                        }),
                IsOk());
    return serials;
  }
  std::vector<AuditEntry> AuditOf(absl::string_view action) {
    std::vector<AuditEntry> entries;
    EXPECT_THAT(store().ListAudit([&](const AuditEntry& entry) {
      if (absl::string_view(entry.action) == action) entries.push_back(entry);
      return true;
    }),
                IsOk());
    return entries;
  }

  RecordMaker maker_;
};

// Instantiated like StoreConformance, beside it.
class NodeConformance : public RenewalConformance {
 protected:
  // A token for the agent of `node`.
  void MakeToken(absl::string_view node, absl::string_view id, bool replace = false);
  // The certificate of the agent of `node` that redeems it.
  IssuanceRecord JoinRecord(absl::string_view node, absl::string_view token);
  // Both, appended.
  IssuanceRecord Join(absl::string_view node, absl::string_view token, bool replace = false);
  // The certificate of a workload that `agent` asks for.
  IssuanceRecord ForWorkload(const IssuanceRecord& agent, absl::string_view entry = "e1", absl::string_view id = kWeb);
  // What asking for one answers.
  absl::Status AskForWorkload(const IssuanceRecord& agent);
};

// Instantiated like StoreConformance, beside it.
class RevocationConformance : public RenewalConformance {
 protected:
  struct Answer {
    absl::StatusOr<RevocationResult> result = absl::UnknownError("");
    std::vector<std::string> visited;  // serial numbers
  };
  Answer Revoke(const RevocationSelection& selection, bool dry_run = false,
                RevocationReason reason = RevocationReason::kKeyCompromise) {
    Answer answer;
    AuditEntry audit = TestAudit("cert.revoke");
    audit.target = "";
    audit.detail = "";
    answer.result = store().Revoke(selection, reason, dry_run, audit, [&](const IssuanceRecord& record) {
      EXPECT_EQ(record.revoked_at == kTestNow, !dry_run);
      answer.visited.push_back(record.serial.ToHex());
      return true;
    });
    return answer;
  }
  Answer RevokeSerial(const IssuanceRecord& record) {
    RevocationSelection selection;
    selection.serial = record.serial.ToHex();
    return Revoke(selection);
  }
  std::vector<std::string> Revoked() {
    std::vector<std::string> serials;
    IssuanceFilter filter;
    filter.revoked_only = true;
    EXPECT_THAT(store().List(filter,
                             [&](const IssuanceRecord& record) {
                               EXPECT_EQ(record.revoked_at, kTestNow);
                               serials.push_back(record.serial.ToHex());
                               return true;
                             }),
                IsOk());
    return serials;
  }
  IssuanceRecord IssueWithKey(const std::string& key_sha256, absl::string_view id = kWeb) {
    IssuanceRecord record = maker_.Make(id);
    record.origin = {OriginKind::kOperator, "uid 0"};
    record.key_sha256 = key_sha256;
    EXPECT_THAT(AppendAndWait(store(), record), IsOk());
    return record;
  }

  const Origin operator_{OriginKind::kOperator, "uid 0"};
};

}  // namespace meshca::storage

#endif  // MESHCA_TEST_STORAGE_RENEWAL_CONFORMANCE_H_
