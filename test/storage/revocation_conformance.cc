// What every store does when identities are taken back.
#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "test/storage/renewal_conformance.h"

namespace meshca::storage {
namespace {

using absl::StatusCode;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;

TEST_P(RevocationConformance, TheLineGetsNothingMore) {
  const IssuanceRecord first = Issue(operator_);
  const IssuanceRecord second = Renewed(first);
  const IssuanceRecord third = Renewed(second);
  const IssuanceRecord other = Issue(operator_);
  const Answer answer = RevokeSerial(second);
  ASSERT_THAT(answer.result, IsOk());
  EXPECT_EQ(answer.result->certificates, 3u);
  EXPECT_EQ(answer.result->lines, 1u);
  EXPECT_THAT(answer.visited, UnorderedElementsAre(first.serial.ToHex(), second.serial.ToHex(), third.serial.ToHex()));
  harness_->Reopen();
  for (const IssuanceRecord& leaf : {first, second, third}) {
    const absl::Status refused = Renew(leaf);
    EXPECT_THAT(refused, StatusIs(StatusCode::kUnauthenticated,
                                  AllOf(HasSubstr("keyCompromise"), HasSubstr("meshca token create"))));
    EXPECT_THAT(refused, HasReason(kCertificateRevoked));
  }
  EXPECT_THAT(Renew(other), IsOk());
  EXPECT_EQ(store().Find(second.serial)->revoked_at, kTestNow);
  EXPECT_EQ(store().Find(second.serial)->revocation_reason, static_cast<int>(RevocationReason::kKeyCompromise));
  EXPECT_EQ(store().Find(other.serial)->revoked_at, absl::InfiniteFuture());
  EXPECT_THAT(Revoked(), ElementsAre(first.serial.ToHex(), second.serial.ToHex(), third.serial.ToHex()));
  const auto audit = AuditOf("cert.revoke");
  ASSERT_THAT(audit, SizeIs(1));
  EXPECT_THAT(audit[0].target, HasSubstr(second.serial.ToHex()));
  EXPECT_THAT(audit[0].detail, AllOf(HasSubstr("3 certificates of 1 lines"), HasSubstr("keyCompromise")));
  EXPECT_THAT(store().Check(), IsOk());
}

TEST_P(RevocationConformance, TheKeyGetsNothingMoreByAnyRight) {
  const IssuanceRecord issued = Issue(operator_);
  ASSERT_THAT(AppendAndWait(store(), maker_.Make()), IsOk());  // the writer has found that no key is revoked
  ASSERT_THAT(RevokeSerial(issued).result, IsOk());
  ASSERT_THAT(store().CreateToken(TestToken("t1"), TestAudit()), IsOk());
  IssuanceRecord again = maker_.Make("spiffe://cluster.local/other");
  again.key_sha256 = issued.key_sha256;
  again.token_id = "t1";
  const absl::Status refused = AppendAndWait(store(), again);
  EXPECT_THAT(refused, StatusIs(StatusCode::kPermissionDenied, HasSubstr("new key")));
  EXPECT_THAT(refused, HasReason(kKeyRevoked));
  EXPECT_THAT(store().ListTokens()->at(0).used_key_sha256, IsEmpty()) << "and redeems nothing";
  again.key_sha256 = std::string(32, 'n');
  EXPECT_THAT(AppendAndWait(store(), again), IsOk());
}

TEST_P(RevocationConformance, NothingFollowsARevokedCertificateWhoeverProvesItselfAnew) {
  ASSERT_THAT(store().CreateEntry(TestEntry("e1"), TestAudit()), IsOk());
  const IssuanceRecord revoked = Issue(operator_);
  const auto replace = [&] {
    IssuanceRecord next = maker_.Make(kWeb);
    next.method = AuthMethod::kUnixPeer;
    next.origin = {OriginKind::kEntry, "e1"};
    next.parent_serial = revoked.serial.ToHex();
    next.key_sha256 = std::string(next.serial.bytes()) + std::string(16, 'n');  // a key that nobody knows
    return AppendAndWait(store(), next);
  };
  EXPECT_THAT(replace(), IsOk());
  ASSERT_THAT(RevokeSerial(revoked).result, IsOk());
  const uint64_t before = *store().CountIssuances();
  EXPECT_THAT(replace(), HasReason(kCertificateRevoked));
  EXPECT_EQ(*store().CountIssuances(), before);
}

TEST_P(RevocationConformance, ACertificateWithTheSameKeyAndItsLineGoTheSameWay) {
  const IssuanceRecord first = IssueWithKey(std::string(32, 'k'));
  const IssuanceRecord same_key = IssueWithKey(std::string(32, 'k'), "spiffe://cluster.local/other");
  const IssuanceRecord of_its_line = Renewed(same_key);
  const Answer answer = RevokeSerial(first);
  ASSERT_THAT(answer.result, IsOk());
  EXPECT_EQ(answer.result->certificates, 3u);
  EXPECT_EQ(answer.result->lines, 2u);
  EXPECT_THAT(Renew(of_its_line), HasReason(kCertificateRevoked));
}

TEST_P(RevocationConformance, SelectsByEachCondition) {
  ASSERT_THAT(store().CreateEntry(TestEntry("e1"), TestAudit()), IsOk());
  IssuanceRecord on_node = maker_.Make("spiffe://cluster.local/a");
  on_node.node = "node-1";
  ASSERT_THAT(AppendAndWait(store(), on_node), IsOk());
  const IssuanceRecord by_b = maker_.Make("spiffe://cluster.local/b", kIssuingB);
  ASSERT_THAT(AppendAndWait(store(), by_b), IsOk());
  const IssuanceRecord by_entry = Issue({OriginKind::kEntry, "e1"});
  const IssuanceRecord by_token = Issue({OriginKind::kJoinToken, "e1"}, "spiffe://cluster.local/c");
  struct Case {
    const char* name;
    RevocationSelection selection;
    std::string wanted;
  };
  std::vector<Case> cases(5);
  cases[0] = {"Node", {}, on_node.serial.ToHex()};
  cases[0].selection.node = "node-1";
  cases[1] = {"Authority", {}, by_b.serial.ToHex()};
  cases[1].selection.authority_id_prefix = "bb0";
  cases[2] = {"Entry", {}, by_entry.serial.ToHex()};
  cases[2].selection.entry_id = "e1";
  cases[3] = {"Glob", {}, by_token.serial.ToHex()};
  cases[3].selection.spiffe_id_glob = "spiffe://*/c";
  const IssuanceRecord last = Issue(operator_);
  cases[4] = {"Serial", {}, last.serial.ToHex()};
  cases[4].selection.serial = absl::AsciiStrToUpper(last.serial.ToHex());
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_THAT(Revoke(c.selection, /*dry_run=*/true).visited, ElementsAre(c.wanted));
    EXPECT_THAT(Revoke(c.selection).visited, ElementsAre(c.wanted));
    EXPECT_THAT(Revoke(c.selection).result, StatusIs(StatusCode::kNotFound, HasSubstr("meshca cert list")));
  }
  EXPECT_THAT(Revoked(), SizeIs(5));
}

TEST_P(RevocationConformance, DryRunWritesNothing) {
  const IssuanceRecord issued = Issue(operator_);
  const IssuanceRecord renewed = Renewed(issued);
  RevocationSelection all;
  all.spiffe_id_glob = "*";
  const Answer answer = Revoke(all, /*dry_run=*/true);
  ASSERT_THAT(answer.result, IsOk());
  EXPECT_EQ(answer.result->certificates, 2u);
  EXPECT_EQ(answer.result->lines, 1u);
  EXPECT_THAT(answer.visited, ElementsAre(issued.serial.ToHex(), renewed.serial.ToHex()));
  EXPECT_THAT(Revoked(), IsEmpty());
  EXPECT_THAT(AuditOf("cert.revoke"), IsEmpty());
  EXPECT_THAT(Renew(renewed), IsOk());
}

TEST_P(RevocationConformance, OnlyLiveCertificatesAreRevokedAndExactlyOneConditionGiven) {
  RecordMaker maker(900);
  ASSERT_THAT(AppendAndWait(store(), maker.Make(kWeb, kIssuingA, -absl::Seconds(1))), IsOk());
  RevocationSelection all;
  EXPECT_THAT(Revoke(all).result, StatusIs(StatusCode::kInvalidArgument, HasSubstr("--entry")));
  all.spiffe_id_glob = "*";
  EXPECT_THAT(Revoke(all).result, StatusIs(StatusCode::kNotFound, HasSubstr("*")));
  ASSERT_THAT(AppendAndWait(store(), maker.Make(kWeb, kIssuingA, absl::ZeroDuration())), IsOk());
  all.node = "node-1";
  EXPECT_THAT(Revoke(all).result, StatusIs(StatusCode::kInvalidArgument));
  all.node = "";
  EXPECT_EQ(Revoke(all).result->certificates, 1u) << "it lives to the end of its last second";
  RevocationSelection odd;
  odd.serial = "0a0b";
  EXPECT_THAT(Revoke(odd).result, StatusIs(StatusCode::kInvalidArgument));
}

TEST_P(RevocationConformance, ALineOfOldRecordsIsWalkedTo) {
  ASSERT_THAT(store().CreateEntry(TestEntry("e1"), TestAudit()), IsOk());
  const IssuanceRecord first = IssueOld(AuthMethod::kUnixPeer, "uid 1000");
  const IssuanceRecord second = RenewOld(first);
  const IssuanceRecord third = RenewOld(second);
  const IssuanceRecord fourth = Renewed(third);
  const IssuanceRecord other = IssueOld(AuthMethod::kUnixPeer, "uid 1000");
  const Answer answer = RevokeSerial(second);
  ASSERT_THAT(answer.result, IsOk());
  EXPECT_EQ(answer.result->certificates, 4u);
  EXPECT_EQ(answer.result->lines, 1u);
  EXPECT_THAT(Renew(first), HasReason(kCertificateRevoked));
  EXPECT_THAT(Renew(fourth), HasReason(kCertificateRevoked));
  EXPECT_THAT(Renew(other), IsOk());
}

TEST_P(RevocationConformance, AnUnrecordedCertificateOfARevokedLineGetsNothingMore) {
  const PresentedCertificate shown{"0a0b0c", std::string(32, 'x'), *SpiffeId::Parse(kWeb), true};
  IssuanceRecord renewal = maker_.Make(kWeb);
  renewal.method = AuthMethod::kClientCertificate;
  renewal.presented = shown;
  ASSERT_THAT(AppendJudged(renewal), IsOk());
  ASSERT_THAT(RevokeSerial(renewal).result, IsOk());
  IssuanceRecord again = maker_.Make(kWeb);
  again.presented = shown;
  EXPECT_THAT(AppendJudged(again), HasReason(kCertificateRevoked));
}

TEST_P(RevocationConformance, ARevokedLeafHoldsNoRotationUp) {
  const IssuanceRecord issued = Issue(operator_);
  const IssuanceRecord other = Issue(operator_);
  ASSERT_THAT(RevokeSerial(issued).result, IsOk());
  LeafQuery query;
  query.alive_at = kTestNow;
  query.root_id = "root";
  std::vector<std::string> waiting;
  ASSERT_THAT(store().VisitUnreplaced(query,
                                      [&](const LiveLeaf& leaf) {
                                        waiting.push_back(leaf.serial);
                                        return true;
                                      }),
              IsOk());
  EXPECT_THAT(waiting, ElementsAre(other.serial.ToHex()));
}

TEST_P(RevocationConformance, ManyAreRevokedAtOnceAndCountedExactly) {
  for (int i = 0; i < 700; ++i) {
    store().Append(maker_.Make(absl::StrCat("spiffe://cluster.local/many/", i % 7)),
                   [](absl::Status status) { EXPECT_THAT(status, IsOk()); });
  }
  ASSERT_THAT(store().Probe(), IsOk());
  const IssuanceRecord other = Issue(operator_);
  RevocationSelection many;
  many.spiffe_id_glob = "*/many/*";
  const Answer answer = Revoke(many);
  ASSERT_THAT(answer.result, IsOk());
  EXPECT_EQ(answer.result->certificates, 700u);
  EXPECT_EQ(answer.result->lines, 700u);
  EXPECT_THAT(answer.visited, SizeIs(700));
  EXPECT_THAT(Revoked(), SizeIs(700));
  ASSERT_THAT(AuditOf("cert.revoke"), SizeIs(1));
  EXPECT_THAT(AuditOf("cert.revoke")[0].detail, HasSubstr("700 certificates of 700 lines"));
  EXPECT_THAT(Renew(other), IsOk());
}

}  // namespace
}  // namespace meshca::storage
