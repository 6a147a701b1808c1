#include "ca/authority/authority_standing.h"

#include <gmock/gmock.h>

#include <functional>
#include <string>
#include <vector>

#include "test/ca/x509/test_files.h"
#include "test/fakes/status_matchers.h"

namespace meshca {
namespace {

using ::testing::HasSubstr;

// The path leaf - issuing - root, and the authorities that know both.
struct World {
  TestAuthorities ca = NewAuthorities();
  AuthoritySnapshot snapshot;
  VerifiedPeer peer;

  World() {
    snapshot.bundle = std::make_shared<TrustBundle>(TrustBundle{TestDomain(), 1, {ca.root}});
    snapshot.authorities = {Row(ca.root, AuthorityRole::kRoot), Row(ca.issuing, AuthorityRole::kIssuing)};
    peer.leaf = ca.issuing;  // any certificate: nothing of it is read but for the sentence
    peer.authority_ids = {ca.issuing.spki_sha256_hex(), ca.root.spki_sha256_hex()};
    peer.root_id = peer.authority_ids.back();
    peer.path_ends = TestNow() + absl::Hours(1);
  }

  SigningAuthority Row(const Certificate& certificate, AuthorityRole role) const {
    SigningAuthority row;
    row.id = certificate.spki_sha256_hex();
    row.role = role;
    row.state = AuthorityState::kActive;
    row.certificate = certificate;
    row.root_id = ca.root.spki_sha256_hex();
    return row;
  }
  SigningAuthority& root() { return snapshot.authorities[0]; }
  SigningAuthority& issuing() { return snapshot.authorities[1]; }
  void Grace(std::vector<std::string> ids) {
    snapshot.unrecorded = UnrecordedGrace{TestNow() + absl::Hours(1), std::move(ids), "restored from a backup"};
  }
};

struct StandingCase {
  std::string name;
  std::function<void(World&)> change;
  std::string refused;             // words of the refusal; "" for none
  bool may_be_unrecorded = false;  // where it is not refused
};

class Standing : public testing::TestWithParam<StandingCase> {};

TEST_P(Standing, IsJudgedOnThePathThatWasVerified) {
  World world;
  GetParam().change(world);
  const auto verdict = AuthorityStanding::JudgePath(world.snapshot, world.peer, TestNow());
  if (!GetParam().refused.empty()) {
    EXPECT_THAT(verdict, StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr(GetParam().refused)));
    EXPECT_THAT(verdict, HasReason("CERTIFICATE_ISSUER_UNKNOWN"));
    return;
  }
  ASSERT_THAT(verdict, IsOk());
  EXPECT_EQ(verdict->may_be_unrecorded, GetParam().may_be_unrecorded);
}

INSTANTIATE_TEST_SUITE_P(
    Rules, Standing,
    testing::Values(
        StandingCase{"Good", [](World&) {}, ""},
        StandingCase{"NoPath", [](World& w) { w.peer.authority_ids.clear(); }, "no path to a root"},
        StandingCase{"NoBundle", [](World& w) { w.snapshot.bundle = nullptr; }, "root is not trusted"},
        StandingCase{
            "RootLeftTheBundle",
            [](World& w) {
              w.snapshot.bundle = std::make_shared<TrustBundle>(TrustBundle{TestDomain(), 2, {NewAuthorities().root}});
            },
            "root is not trusted"},
        // A thief's path that ends elsewhere than in a root, whatever stands in the bundle.
        StandingCase{"LastOfThePathIsNoRoot", [](World& w) { w.peer.authority_ids.pop_back(); }, "root is not trusted"},
        StandingCase{"RetiredIssuing", [](World& w) { w.issuing().state = AuthorityState::kRetired; }, "is retired"},
        StandingCase{"RetiredRootStillInTheBundle", [](World& w) { w.root().state = AuthorityState::kRetired; },
                     "is retired"},
        StandingCase{"RetiredInTheMiddle",
                     [](World& w) {
                       w.peer.authority_ids.insert(w.peer.authority_ids.begin(), "somebody");
                       w.issuing().state = AuthorityState::kRetired;
                     },
                     "is retired"},
        StandingCase{"OldOnesStillCount", [](World& w) { w.issuing().state = AuthorityState::kOld; }, ""},
        StandingCase{"EndedAuthority", [](World& w) { w.peer.path_ends = TestNow() - absl::Seconds(1); }, "has ended"},
        StandingCase{"LivesToTheEndOfItsLastSecond", [](World& w) { w.peer.path_ends = TestNow(); }, ""},
        StandingCase{"TaintedHoldersRenewAway", [](World& w) { w.root().tainted = true; }, ""},
        StandingCase{"UnknownAuthorityIsTheInventorysAffair",
                     [](World& w) { w.peer.authority_ids.insert(w.peer.authority_ids.begin(), "somebody"); }, ""},
        StandingCase{"GraceOfTheIssuing", [](World& w) { w.Grace({w.issuing().id}); }, "", true},
        StandingCase{"GraceOfARootForWhatItSignedItself",
                     [](World& w) {
                       w.peer.authority_ids.erase(w.peer.authority_ids.begin());
                       w.Grace({w.root().id});
                     },
                     "", true},
        StandingCase{"GraceOfARootIsNotThatOfAnAuthorityBelowIt", [](World& w) { w.Grace({w.root().id}); }, "", false},
        StandingCase{"GraceOfARootIsNotThatOfAnAuthorityWhichNobodyKnows",
                     [](World& w) {
                       w.snapshot.authorities.pop_back();
                       w.Grace({w.root().id});
                     },
                     "", false},
        StandingCase{"GraceOfOthers", [](World& w) { w.Grace({"somebody"}); }, "", false},
        StandingCase{"GraceIsOver",
                     [](World& w) {
                       w.Grace({w.root().id});
                       w.snapshot.unrecorded->until = TestNow();
                     },
                     "", false},
        StandingCase{"GraceNeverUnderATaintedIssuing",
                     [](World& w) {
                       w.Grace({w.issuing().id, w.root().id});
                       w.issuing().tainted = true;
                     },
                     "", false},
        StandingCase{"GraceNeverUnderATaintedRoot",
                     [](World& w) {
                       w.Grace({w.issuing().id, w.root().id});
                       w.root().tainted = true;
                     },
                     "", false},
        StandingCase{"GraceNeverWhereTheTaintIsAboveAnUnknownOne",
                     [](World& w) {
                       w.peer.authority_ids.insert(w.peer.authority_ids.begin(), "somebody");
                       w.Grace({"somebody"});
                       w.root().tainted = true;
                     },
                     "", false},
        StandingCase{"GraceNeverWhereItsOwnRootIsTaintedAndThePathLeadsToAnother",
                     [](World& w) {
                       const Certificate other = NewAuthorities().root;
                       w.snapshot.bundle = std::make_shared<TrustBundle>(TrustBundle{TestDomain(), 2, {other}});
                       w.peer.authority_ids.back() = other.spki_sha256_hex();
                       w.Grace({w.issuing().id});
                       w.root().tainted = true;
                     },
                     "", false}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace meshca
