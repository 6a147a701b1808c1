// What every store answers for a certificate that a caller shows: whether this CA issued it, and whether what gave the
// right to it is still there.
#include <gmock/gmock.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "test/fakes/status_matchers.h"
#include "test/storage/renewal_conformance.h"

namespace meshca::storage {
namespace {

using absl::StatusCode;
using testing::AllOf;
using testing::HasSubstr;

Origins IssuersOf(std::vector<std::string> issuers) {
  return std::make_shared<const TrustedOrigins>(TrustedOrigins{std::move(issuers), nullptr});
}

// Says of every pod what it is told to say.
class SettledPods final : public PodOriginJudge {
 public:
  explicit SettledPods(absl::Status answer) : answer_(std::move(answer)) {}
  absl::Status CheckPodOrigin(const PodOrigin& origin, absl::Time issued_at) const override {
    EXPECT_EQ(origin.pod_uid, "pod-uid");
    EXPECT_EQ(absl::ToUnixSeconds(issued_at), absl::ToUnixSeconds(kTestNow));
    return answer_;
  }

 private:
  const absl::Status answer_;
};

Origins PodsSaying(absl::Status answer) {
  return std::make_shared<const TrustedOrigins>(
      TrustedOrigins{{}, std::make_shared<const SettledPods>(std::move(answer))});
}

TEST_P(RenewalConformance, ARenewalHasTheOriginAndTheLineOfTheFirst) {
  ASSERT_THAT(store().CreateEntry(TestEntry("e1"), TestAudit()), IsOk());
  const IssuanceRecord first = Issue({OriginKind::kEntry, "e1"});
  IssuanceRecord latest = first;
  for (int i = 0; i < 3; ++i) {
    IssuanceRecord next = RenewalOf(latest, maker_);
    next.origin = {OriginKind::kOperator, "uid 0"};  // the store knows better
    ASSERT_THAT(AppendAndWait(store(), next), IsOk());
    latest = next;
  }
  harness_->Reopen();
  const auto found = store().Find(latest.serial);
  ASSERT_THAT(found, IsOk());
  EXPECT_EQ(OriginText(found->origin), "entry e1");
  EXPECT_EQ(found->line_serial, first.serial.ToHex());
  EXPECT_EQ(store().Find(first.serial)->line_serial, "") << "that is itself";
  const auto judged = store().JudgePresented(Shown(latest), nullptr);
  ASSERT_THAT(judged, IsOk());
  EXPECT_EQ(judged->serial, latest.serial);
  EXPECT_EQ(OriginText(judged->origin), "entry e1");
  EXPECT_THAT(store().Check(), IsOk());
}

TEST_P(RenewalConformance, WhoProvesItselfAnewKeepsTheLineAndHasTheRightOfNow) {
  for (const char* entry : {"gone", "e1", "e2"}) {
    ASSERT_THAT(store().CreateEntry(TestEntry(entry, absl::StrCat("unix:path:/", entry)), TestAudit()), IsOk());
  }
  const IssuanceRecord first = Issue({OriginKind::kEntry, "gone"});
  ASSERT_THAT(store().DeleteEntry("gone", TestAudit()), IsOk());
  IssuanceRecord latest = first;
  for (const char* entry : {"e1", "e2"}) {
    IssuanceRecord next = maker_.Make();
    next.method = AuthMethod::kUnixPeer;
    next.parent_serial = latest.serial.ToHex();
    next.origin = {OriginKind::kEntry, entry};
    ASSERT_THAT(AppendAndWait(store(), next), IsOk());
    EXPECT_EQ(store().Find(next.serial)->line_serial, first.serial.ToHex());
    EXPECT_EQ(OriginText(store().Find(next.serial)->origin), absl::StrCat("entry ", entry));
    latest = next;
  }
}

TEST_P(RenewalConformance, AParentOfAnotherIdIsNone) {
  const IssuanceRecord first = Issue({OriginKind::kOperator, "uid 0"});
  for (const AuthMethod method : {AuthMethod::kUnixPeer, AuthMethod::kJwt, AuthMethod::kJoinToken}) {
    IssuanceRecord other = maker_.Make("spiffe://cluster.local/other");
    other.method = method;
    other.parent_serial = first.serial.ToHex();
    ASSERT_THAT(AppendAndWait(store(), other), IsOk());
    EXPECT_EQ(store().Find(other.serial)->line_serial, "") << "another identity is no renewal";
    EXPECT_EQ(store().Find(other.serial)->parent_serial, "");
  }
  // Whoever shows a certificate replaces that one, whatever else is said.
  const IssuanceRecord shown = Issue({OriginKind::kOperator, "uid 0"});
  IssuanceRecord renewal = RenewalOf(shown, maker_);
  renewal.parent_serial = first.serial.ToHex();
  ASSERT_THAT(AppendJudged(renewal), IsOk());
  EXPECT_EQ(store().Find(renewal.serial)->parent_serial, shown.serial.ToHex());
  EXPECT_THAT(Unreplaced(), testing::Contains(first.serial.ToHex()));
}

TEST_P(RenewalConformance, OnlyWhatTheInventoryHoldsIsRenewed) {
  const IssuanceRecord issued = Issue({OriginKind::kOperator, "uid 0"});
  struct Case {
    const char* name;
    PresentedCertificate shown;
  };
  const SpiffeId other = *SpiffeId::Parse("spiffe://cluster.local/other");
  const std::string serial = issued.serial.ToHex();
  const std::string unknown = maker_.Make().serial.ToHex();
  const Case cases[] = {
      {"AnotherCertificateWithItsSerial", {serial, std::string(32, 'x'), issued.spiffe_id}},
      {"AnotherIdWithItsSerialAndHash", {serial, issued.certificate_sha256, other}},
      {"AnotherSerialWithItsHash", {unknown, issued.certificate_sha256, issued.spiffe_id}},
      {"AShortSerial", {"0a", issued.certificate_sha256, issued.spiffe_id}},
      {"NoSerial", {"", issued.certificate_sha256, issued.spiffe_id}},
      {"NoHexSerial", {"not hex", issued.certificate_sha256, issued.spiffe_id}},
      {"EvenWhereOneMayBeUnrecorded", {serial, std::string(32, 'x'), issued.spiffe_id, true}},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    IssuanceRecord renewal = RenewalOf(issued, maker_);
    renewal.spiffe_id = c.shown.spiffe_id;
    renewal.presented = c.shown;
    const absl::Status refused = AppendJudged(renewal);
    EXPECT_THAT(refused, StatusIs(StatusCode::kUnauthenticated,
                                  AllOf(HasSubstr("no record"), HasSubstr("meshca token create"))));
    EXPECT_THAT(refused, HasReason(kCertificateNotRecorded));
    EXPECT_THAT(std::string(refused.message()), testing::Not(HasSubstr("taint")));
  }
  EXPECT_THAT(Renew(issued), IsOk());
}

TEST_P(RenewalConformance, ParentAndChildHaveOneSpiffeId) {
  const IssuanceRecord issued = Issue({OriginKind::kOperator, "uid 0"});
  for (const char* id : {"spiffe://cluster.local/other", kReserved}) {
    IssuanceRecord renewal = RenewalOf(issued, maker_);
    renewal.spiffe_id = *SpiffeId::Parse(id);
    EXPECT_THAT(AppendAndWait(store(), renewal), StatusIs(StatusCode::kPermissionDenied, HasSubstr(id)));
  }
  const IssuanceRecord reserved = Issue({OriginKind::kJoinToken, "t1"}, kReserved);
  EXPECT_THAT(Renew(reserved), IsOk()) << "it was issued to this ID by name";
}

TEST_P(RenewalConformance, AnEntryThatIsGoneGivesNoCertificateNotEvenAFirst) {
  IssuanceRecord record = maker_.Make(kWeb);
  record.method = AuthMethod::kUnixPeer;
  record.origin = {OriginKind::kEntry, "e1"};
  RegistrationEntry other = TestEntry("e1");
  other.spiffe_id = *SpiffeId::Parse("spiffe://cluster.local/other");
  RegistrationEntry later = TestEntry("e1", "unix:uid:777");
  later.created_at = record.issued_at + absl::Seconds(1);
  struct Case {
    const char* name;
    std::function<absl::Status()> arrange;
  };
  const Case cases[] = {
      {"NeverThere", [] { return absl::OkStatus(); }},
      {"AnotherGivesTheId", [&] { return store().CreateEntry(TestEntry("e2", "unix:uid:2"), TestAudit()); }},
      {"GivesAnotherId", [&] { return store().CreateEntry(other, TestAudit()); }},
      {"Deleted", [&] { return store().DeleteEntry("e1", TestAudit()); }},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    ASSERT_THAT(c.arrange(), IsOk());
    const absl::Status refused = AppendAndWait(store(), record);
    EXPECT_THAT(refused, StatusIs(StatusCode::kPermissionDenied,
                                  AllOf(HasSubstr("registration entry e1"), HasSubstr("meshca entry create"))));
    EXPECT_THAT(refused, HasReason(kEntryGone));
    EXPECT_EQ(*store().CountIssuances(), 0);
  }
  ASSERT_THAT(store().CreateEntry(later, TestAudit()), IsOk());
  EXPECT_THAT(AppendAndWait(store(), record), IsOk()) << "a clock that was set back in between undoes nothing";
  EXPECT_THAT(store().Check(), IsOk());
}

TEST_P(RenewalConformance, EndWithTheEntryThatGaveTheRight) {
  ASSERT_THAT(store().CreateEntry(TestEntry("e1"), TestAudit()), IsOk());
  ASSERT_THAT(store().CreateEntry(TestEntry("e2", "unix:uid:2000"), TestAudit()), IsOk());
  const IssuanceRecord first = Issue({OriginKind::kEntry, "e1"});
  IssuanceRecord second = RenewalOf(first, maker_);
  ASSERT_THAT(AppendAndWait(store(), second), IsOk());
  ASSERT_THAT(store().DeleteEntry("e1", TestAudit()), IsOk());
  for (const IssuanceRecord& leaf : {first, second}) {
    const absl::Status refused = Renew(leaf);
    EXPECT_THAT(refused, StatusIs(StatusCode::kPermissionDenied,
                                  AllOf(HasSubstr("entry e1 is gone"),
                                        HasSubstr("make one: meshca entry create spiffe://"), HasSubstr("..."))));
    EXPECT_THAT(refused, HasReason(kCertificateOriginGone));
  }
  RegistrationEntry moved = TestEntry("e1");
  moved.spiffe_id = *SpiffeId::Parse("spiffe://cluster.local/other");
  ASSERT_THAT(store().PutEntry(moved, TestAudit()), IsOk());
  EXPECT_THAT(Renew(first), HasReason(kCertificateOriginGone)) << "the entry gives another ID now";
  ASSERT_THAT(store().PutEntry(TestEntry("e1"), TestAudit()), IsOk());
  EXPECT_THAT(Renew(first), IsOk());
}

TEST_P(RenewalConformance, EndWithAnEntryWhoseIdWasGivenToANewOne) {
  ASSERT_THAT(store().CreateEntry(TestEntry("e1"), TestAudit()), IsOk());
  const IssuanceRecord before = Issue({OriginKind::kEntry, "e1"});
  ASSERT_THAT(store().DeleteEntry("e1", TestAudit()), IsOk());
  RegistrationEntry anew = TestEntry("e1", "unix:uid:777");
  anew.created_at = before.issued_at + absl::Seconds(1);
  ASSERT_THAT(store().CreateEntry(anew, TestAudit()), IsOk());
  EXPECT_THAT(Renew(before), HasReason(kCertificateOriginGone)) << "it gives the ID to somebody else";
}

TEST_P(RenewalConformance, EndWithTheJwtIssuerThatGaveTheRight) {
  const IssuanceRecord issued = Issue({OriginKind::kJwtIssuer, "https://issuer.test"});
  EXPECT_THAT(Renew(issued), IsOk()) << "nobody said which are configured";
  EXPECT_THAT(Renew(issued, IssuersOf({"https://other.test", "https://issuer.test"})), IsOk());
  for (const Origins& issuers : {IssuersOf({}), IssuersOf({"https://issuer.test.evil"})}) {
    const absl::Status refused = Renew(issued, issuers);
    EXPECT_THAT(refused, StatusIs(StatusCode::kPermissionDenied, HasSubstr("https://issuer.test")));
    EXPECT_THAT(refused, HasReason(kCertificateOriginGone));
  }
}

TEST_P(RenewalConformance, EndWithThePodThatGaveTheRight) {
  const PodOrigin pod{"default", "web", "account-uid", "pod-uid", "https://kubernetes.test"};
  const IssuanceRecord issued = Issue(pod.ToOrigin());
  EXPECT_EQ(store().Find(issued.serial)->origin, pod.ToOrigin());
  EXPECT_THAT(Renew(issued), IsOk()) << "nobody said which live";
  EXPECT_THAT(Renew(issued, PodsSaying(absl::OkStatus())), IsOk());
  const absl::Status gone = Renew(issued, PodsSaying(absl::PermissionDeniedError("its right came from pod x, gone")));
  EXPECT_THAT(gone, StatusIs(StatusCode::kPermissionDenied,
                             AllOf(HasSubstr("pod x, gone"), HasSubstr("service account token"))));
  EXPECT_THAT(gone, HasReason(kCertificateOriginGone));
  EXPECT_THAT(Renew(issued, PodsSaying(absl::UnavailableError("nothing is known"))),
              StatusIs(StatusCode::kUnavailable, HasSubstr("nothing is known")));
  EXPECT_THAT(Renew(issued, IssuersOf({"https://kubernetes.test"})), HasReason(kCertificateOriginGone))
      << "no cluster is configured any more";
  EXPECT_THAT(Renew(Issue({OriginKind::kPod, "?"}), PodsSaying(absl::OkStatus())), HasReason(kCertificateOriginGone));
}

TEST_P(RenewalConformance, OutliveWhatIsSpentByItsUse) {
  ASSERT_THAT(store().CreateToken(TestToken("t1"), TestAudit()), IsOk());
  const IssuanceRecord by_token = Issue({OriginKind::kJoinToken, "t1"});
  ASSERT_THAT(store().DeleteToken("t1", TestAudit()), IsOk());
  EXPECT_THAT(Renew(by_token, IssuersOf({})), IsOk());
  EXPECT_THAT(Renew(Issue({OriginKind::kOperator, "uid 0"}), IssuersOf({})), IsOk());
}

TEST_P(RenewalConformance, OfWhatMeshcaPublishesAreItsOwnAlone) {
  const IssuanceRecord published = Issue({OriginKind::kPublished, "meshca"});
  const absl::Status refused = Renew(published, IssuersOf({}));
  EXPECT_THAT(refused, StatusIs(StatusCode::kPermissionDenied, HasSubstr("nobody else does by showing it")));
  EXPECT_THAT(refused, HasReason(kCertificatePublished));
}

TEST_P(RenewalConformance, OfARecordWithoutOriginAreJudgedByHowItsFirstCameToBe) {
  const Origins known = IssuersOf({"https://issuer.test"});
  struct Case {
    const char* name;
    AuthMethod method;
    const char* caller;
    const char* origin;
    bool needs_entry;
    bool needs_issuer;
  };
  const Case cases[] = {
      {"UnixPeer", AuthMethod::kUnixPeer, "uid 1000", "entry", true, false},
      {"Jwt", AuthMethod::kJwt, "jwt https://issuer.test sub=a sub=b", "jwt-issuer https://issuer.test", false, true},
      {"ServerUser", AuthMethod::kServerUser, "uid 0", "operator uid 0", false, false},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const IssuanceRecord first = IssueOld(c.method, c.caller);
    IssuanceRecord latest = first;
    for (int i = 0; i < 5; ++i) latest = RenewOld(latest);
    EXPECT_EQ(Renew(latest, known).ok(), !c.needs_entry);
    ASSERT_THAT(store().CreateEntry(TestEntry("e1"), TestAudit()), IsOk());
    IssuanceRecord renewal = RenewalOf(latest, maker_);
    renewal.trusted_origins = known;
    ASSERT_THAT(AppendJudged(renewal), IsOk());
    const auto written = store().Find(renewal.serial);
    ASSERT_THAT(written, IsOk());
    EXPECT_EQ(written->line_serial, first.serial.ToHex());
    EXPECT_EQ(OriginText(written->origin), c.origin) << "written down, so that the walk is made once";
    EXPECT_EQ(Renew(renewal, IssuersOf({})).ok(), !c.needs_issuer);
    ASSERT_THAT(store().DeleteEntry("e1", TestAudit()), IsOk());
    EXPECT_EQ(Renew(renewal, known).ok(), !c.needs_entry);
    EXPECT_EQ(Renew(first, known).ok(), !c.needs_entry) << "the old row itself";
  }
}

TEST_P(RenewalConformance, OfTheServersOwnCertificateOfAnOldVersionAreRefusedToo) {
  EXPECT_THAT(Renew(RenewOld(IssueOld(AuthMethod::kServerUser, "meshca")), IssuersOf({})),
              HasReason(kCertificatePublished));
}

TEST_P(RenewalConformance, OfALineWhoseBeginningWasPrunedKeepItsName) {
  const IssuanceRecord first = IssueOld(AuthMethod::kUnixPeer, "uid 1000");
  IssuanceRecord pruned = RenewalOf(first, maker_);
  CountingEntropy entropy(7);
  pruned.serial = SerialNumber::Make(kTestNow - absl::Hours(1000), entropy);
  IssuanceRecord oldest = RenewalOf(pruned, maker_);
  oldest.presented.reset();
  ASSERT_THAT(AppendAndWait(store(), oldest), IsOk());
  const IssuanceRecord renewal = RenewalOf(oldest, maker_);
  ASSERT_THAT(AppendJudged(renewal), IsOk());
  const auto written = store().Find(renewal.serial);
  EXPECT_EQ(written->line_serial, pruned.serial.ToHex());
  EXPECT_EQ(written->origin.kind, OriginKind::kUnknown) << "nobody can tell any more";
  EXPECT_THAT(Renew(*written), IsOk());
}

TEST_P(RenewalConformance, OfAnUnrecordedCertificateAreAuditedAndNeverOfAReservedId) {
  PresentedCertificate shown{"0a0b0c", std::string(32, 'x'), *SpiffeId::Parse(kWeb)};
  IssuanceRecord renewal = maker_.Make(kWeb);
  renewal.method = AuthMethod::kClientCertificate;
  renewal.parent_serial = shown.serial;
  renewal.presented = shown;
  EXPECT_THAT(AppendJudged(renewal), HasReason(kCertificateNotRecorded));
  EXPECT_TRUE(AuditOf("cert.renew-unrecorded").empty());

  shown.may_be_unrecorded = true;
  renewal.presented = shown;
  ASSERT_THAT(AppendJudged(renewal), IsOk());
  const std::vector<AuditEntry> audit = AuditOf("cert.renew-unrecorded");
  ASSERT_EQ(audit.size(), 1u) << "asking alone leaves no trace";
  EXPECT_EQ(audit[0].target, kWeb);
  EXPECT_THAT(audit[0].detail, AllOf(HasSubstr("0a0b0c"), HasSubstr(kIssuingA)));
  const auto written = store().Find(renewal.serial);
  EXPECT_EQ(written->line_serial, "0a0b0c");
  EXPECT_THAT(Renew(*written), IsOk()) << "it has a record now";
  const auto judged = store().JudgePresented(shown, nullptr);
  ASSERT_THAT(judged, IsOk());
  EXPECT_EQ(judged->spiffe_id.uri(), kWeb);
  EXPECT_TRUE(judged->serial.empty());

  shown.spiffe_id = *SpiffeId::Parse(kReserved);
  renewal = maker_.Make(kReserved);
  renewal.presented = shown;
  EXPECT_THAT(AppendJudged(renewal), HasReason(kCertificateNotRecorded));
}

TEST_P(RenewalConformance, OfAnUnrecordedCertificateEndWithATaintThatCameAfterItsCallerWasAuthenticated) {
  IssuanceRecord renewal = maker_.Make(kWeb);
  renewal.method = AuthMethod::kClientCertificate;
  renewal.parent_serial = "0a0b0c";
  renewal.presented = PresentedCertificate{"0a0b0c", std::string(32, 'x'), renewal.spiffe_id, true, {kIssuingA}};
  ASSERT_THAT(AppendJudged(renewal), IsOk());
  AuthoritiesAndBundle state = *store().LoadAuthorities();
  AuthorityChange change;
  change.expected_revision = state.revision;
  change.trust_domain = state.trust_domain;
  for (StoredAuthority& authority : state.authorities) {
    if (authority.id != kIssuingA) continue;
    authority.tainted = true;
    change.authorities.push_back(authority);
  }
  ASSERT_EQ(change.authorities.size(), 1u);
  change.audit = {TestAudit()};
  ASSERT_THAT(store().CommitAuthorities(change), IsOk());
  renewal.serial = maker_.Make(kWeb).serial;
  EXPECT_THAT(AppendJudged(renewal), HasReason(kCertificateNotRecorded));
}

TEST_P(RenewalConformance, OfAnUnrecordedCertificateEndWithItsAuthorityOrTheRootAboveTaintedOrRetired) {
  const auto renew = [this](std::vector<std::string> authority_ids) {
    IssuanceRecord renewal = maker_.Make(kWeb, kIssuingB);
    renewal.method = AuthMethod::kClientCertificate;
    renewal.parent_serial = "0a0b0c";
    renewal.presented =
        PresentedCertificate{"0a0b0c", std::string(32, 'x'), renewal.spiffe_id, true, std::move(authority_ids)};
    return AppendJudged(renewal);
  };
  struct Case {
    const char* name;
    const char* id;
    AuthorityState state;
    bool tainted;
  };
  for (const Case& c : {Case{"RootTainted", "root", AuthorityState::kOld, true},
                        Case{"RootRetired", "root", AuthorityState::kRetired, false},
                        Case{"AuthorityTainted", kIssuingA, AuthorityState::kOld, true},
                        Case{"AuthorityRetired", kIssuingA, AuthorityState::kRetired, false}}) {
    SCOPED_TRACE(c.name);
    ASSERT_THAT(SetState(store(), c.id, AuthorityState::kOld), IsOk());
    EXPECT_THAT(renew({kIssuingA}), IsOk());
    ASSERT_THAT(SetState(store(), c.id, c.state, c.tainted), IsOk());
    EXPECT_THAT(renew({kIssuingA}), HasReason(kCertificateNotRecorded));
    EXPECT_THAT(renew({"elsewhere", kIssuingA}), HasReason(kCertificateNotRecorded)) << "one of the path is enough";
    EXPECT_THAT(renew({"elsewhere"}), IsOk()) << "what is unknown here is not lost";
    ASSERT_THAT(SetState(store(), c.id, AuthorityState::kOld), IsOk());
  }
}

TEST_P(RenewalConformance, ARefusedRenewalLeavesNothingBehind) {
  const IssuanceRecord issued = Issue({OriginKind::kOperator, "uid 0"});
  IssuanceRecord twin = maker_.Make(kWeb);
  twin.serial = issued.serial;
  twin.presented = PresentedCertificate{"0a0b0c", std::string(32, 'x'), twin.spiffe_id, true};
  EXPECT_THAT(AppendAndWait(store(), twin), StatusIs(StatusCode::kAlreadyExists));
  EXPECT_TRUE(AuditOf("cert.renew-unrecorded").empty());
  EXPECT_THAT(store().Check(), IsOk());
}

TEST_P(RenewalConformance, SealedSettingsAreReadAsTheyWereSealed) {
  EXPECT_THAT(store().GetSealedSetting("grace"), StatusIs(StatusCode::kNotFound));
  const std::string value("a\0b", 3);
  ASSERT_THAT(store().PutSealedSetting("grace", value), IsOk());
  AuthorityChange change;
  change.expected_revision = store().LoadAuthorities()->revision;
  change.trust_domain = "cluster.local";
  change.sealed_settings = {{"other", "with a change"}};
  change.audit = {TestAudit()};
  ASSERT_THAT(store().CommitAuthorities(change), IsOk());
  harness_->Reopen();
  EXPECT_EQ(*store().GetSealedSetting("grace"), value);
  EXPECT_EQ(*store().GetSetting("grace"), value);
  EXPECT_EQ(*store().GetSealedSetting("other"), "with a change");
  ASSERT_THAT(store().PutSetting("grace", value), IsOk());
  EXPECT_THAT(store().GetSealedSetting("grace"), StatusIs(StatusCode::kDataLoss)) << "the seal is broken";
  EXPECT_EQ(*store().GetSetting("grace"), value);
}

}  // namespace
}  // namespace meshca::storage
