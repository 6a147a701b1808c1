#include "ca/authority/renewal_plan.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/authority/test_ca.h"

namespace meshca {
namespace {

using ::testing::HasSubstr;

const absl::Time kNow = absl::FromUnixSeconds(1767323045);
constexpr AuthorityState kActive = AuthorityState::kActive;
constexpr AuthorityState kOld = AuthorityState::kOld;
constexpr AuthorityState kPrepared = AuthorityState::kPrepared;
constexpr AuthorityState kRetired = AuthorityState::kRetired;

// Issuing authorities live 80 days, leaves 20: renewal is due below 30 days.
constexpr absl::Duration kDay = absl::Hours(24);
const RenewalPolicy kPolicy = {80 * kDay, 20 * kDay};

// An authority as a row of the table: days before and after now, negative for before.
struct Row {
  AuthorityRole role;
  AuthorityState state;
  int from;
  int until;
  const char* key = "sealed";
  bool tainted = false;
};

Row Root(AuthorityState state, int from, int until, const char* key = "sealed", bool tainted = false) {
  return {AuthorityRole::kRoot, state, from, until, key, tainted};
}
Row Issuing(AuthorityState state, int from, int until, const char* key = "sealed", bool tainted = false) {
  return {AuthorityRole::kIssuing, state, from, until, key, tainted};
}

struct PlanCase {
  const char* name;
  std::vector<Row> rows;
  std::string steps;    // "make <row>" and "retire <row>", by the row's number, comma-separated
  int signs;            // the row that signs; -1 for none
  std::string warning;  // words that must be among the warnings or why nothing signs; "" for no warning at all
  absl::Duration wakeup = absl::Hours(1);
};

class RenewalPlanTest : public testing::TestWithParam<PlanCase> {};

TEST_P(RenewalPlanTest, DoesWhatIsDue) {
  std::vector<SigningAuthority> authorities;
  for (const Row& row : GetParam().rows) {
    SigningAuthority authority;
    authority.id = absl::StrCat("id", authorities.size());
    authority.role = row.role;
    authority.state = row.state;
    authority.tainted = row.tainted;
    authority.key_reference = row.key;
    TestCertificate spec;
    spec.not_before = kNow + row.from * kDay;
    spec.not_after = kNow + row.until * kDay;
    authority.certificate = MakeTestCa(spec).certificate();
    authorities.push_back(std::move(authority));
  }

  RenewalPlan plan = PlanRenewal(kNow, authorities, kPolicy);

  std::vector<std::string> steps;
  for (const RenewalStep& step : plan.steps) {
    EXPECT_NE(step.why, "");
    steps.push_back(
        absl::StrCat(step.kind == RenewalStep::Kind::kMakeIssuing ? "make " : "retire ", step.authority_id.substr(2)));
  }
  EXPECT_EQ(absl::StrJoin(steps, ","), GetParam().steps);
  EXPECT_EQ(plan.issuing_id, GetParam().signs < 0 ? "" : absl::StrCat("id", GetParam().signs));
  EXPECT_EQ(plan.why_not_signing.empty(), GetParam().signs >= 0);
  std::string said = absl::StrCat(absl::StrJoin(plan.warnings, "; "), plan.why_not_signing);
  EXPECT_EQ(said.empty(), GetParam().warning.empty()) << said;
  EXPECT_THAT(said, HasSubstr(GetParam().warning));
  EXPECT_EQ(plan.next_wakeup, kNow + GetParam().wakeup);
}

INSTANTIATE_TEST_SUITE_P(
    Days, RenewalPlanTest,
    testing::Values(
        PlanCase{"AllIsWell", {Root(kActive, -10, 3000), Issuing(kActive, -10, 70)}, "", 1, ""},
        PlanCase{
            "JustAboveTheLimit", {Root(kActive, -10, 3000), Issuing(kActive, -50, 30)}, "", 1, "", absl::Seconds(1)},
        PlanCase{"JustBelowTheLimit", {Root(kActive, -10, 3000), Issuing(kActive, -51, 29)}, "make 0", 1, ""},
        PlanCase{"Expired", {Root(kActive, -99, 3000), Issuing(kActive, -81, -1)}, "make 0", -1, "ended"},
        PlanCase{"NoIssuing", {Root(kActive, -10, 3000)}, "make 0", -1, "no issuing authority"},
        PlanCase{"MadeWhileTheClockWasAhead",
                 {Root(kActive, -10, 3000), Issuing(kActive, 1, 81)},
                 "make 0",
                 -1,
                 "is the clock behind?"},
        PlanCase{"PluggedInNotYetValid",
                 {Root(kActive, -10, 3000, ""), Issuing(kActive, 1, 81, "file:/x")},
                 "",
                 -1,
                 "is the clock behind?"},
        PlanCase{"NearTheRootsEnd", {Root(kActive, -3000, 40), Issuing(kActive, -51, 29)}, "make 0", 1, "root rotate"},
        PlanCase{"AsLongAsTheRootAlready", {Root(kActive, -3000, 20), Issuing(kActive, -10, 20)}, "", 1, "root rotate"},
        PlanCase{"RootEnded", {Root(kActive, -3000, -1), Issuing(kActive, -81, -1)}, "", -1, "root rotate"},
        PlanCase{"KeyNotHeld", {Root(kActive, -10, 3000, ""), Issuing(kActive, -50, 70, "file:/x")}, "", 1, ""},
        PlanCase{"KeyNotHeldAndEnding",
                 {Root(kActive, -10, 3000, ""), Issuing(kActive, -51, 29, "file:/x")},
                 "",
                 1,
                 "put a new set"},
        PlanCase{
            "TaintedIssuing", {Root(kActive, -10, 3000), Issuing(kActive, -10, 70, "sealed", true)}, "make 0", 1, ""},
        PlanCase{"TaintedRoot",
                 {Root(kActive, -10, 3000, "sealed", true), Issuing(kActive, -10, 70, "sealed", true)},
                 "",
                 1,
                 ""},
        PlanCase{"OldOneExpired",
                 {Root(kActive, -99, 3000), Issuing(kActive, -10, 70), Issuing(kOld, -81, -1)},
                 "retire 2",
                 1,
                 ""},
        PlanCase{
            "OldOneAlive", {Root(kActive, -99, 3000), Issuing(kActive, -10, 70), Issuing(kOld, -60, 20)}, "", 1, ""},
        PlanCase{"RetiredStaysRetired",
                 {Root(kActive, -99, 3000), Issuing(kActive, -10, 70), Issuing(kRetired, -81, -1)},
                 "",
                 1,
                 ""},
        PlanCase{"OldRootTakesEvidence",
                 {Root(kActive, -10, 3000), Root(kOld, -3000, -1), Issuing(kActive, -10, 70)},
                 "",
                 2,
                 ""},
        PlanCase{"PreparedIsLeftAlone",
                 {Root(kActive, -10, 3000), Root(kPrepared, -1, 3000), Issuing(kActive, -10, 70),
                  Issuing(kPrepared, -1, 79)},
                 "",
                 2,
                 ""},
        PlanCase{"SeveralAtOnce",
                 {Root(kActive, -99, 3000), Issuing(kOld, -90, -2), Issuing(kOld, -81, -1), Issuing(kActive, -60, 20)},
                 "make 0,retire 1,retire 2",
                 3,
                 ""},
        PlanCase{"Nothing", {}, "", -1, "no issuing authority"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(RenewalPlan, AFreshAuthorityIsNeverDue) {
  for (int leaf : {1, 7, 40}) {
    RenewalPolicy policy = {80 * kDay, leaf * kDay};
    EXPECT_LT(policy.RenewBelow(), policy.issuing_lifetime);
  }
}

TEST(RenewalPlan, ShortLivesAreRenewedWithinSeconds) {
  // The demo's: leaves of 20 s, an issuing authority of 40 s.
  RenewalPolicy policy = {absl::Seconds(40), absl::Seconds(20)};
  SigningAuthority root, issuing;
  TestCertificate spec;
  spec.not_before = kNow - kDay;
  spec.not_after = kNow + 100 * kDay;
  root.id = "root";
  root.role = AuthorityRole::kRoot;
  root.state = kActive;
  root.key_reference = "sealed";
  root.certificate = MakeTestCa(spec).certificate();
  spec.not_after = kNow + absl::Seconds(30);
  issuing.id = "issuing";
  issuing.state = kActive;
  issuing.certificate = MakeTestCa(spec).certificate();
  std::vector<SigningAuthority> both = {root, issuing};
  RenewalPlan plan = PlanRenewal(kNow, both, policy);
  EXPECT_TRUE(plan.steps.empty());
  EXPECT_EQ(plan.next_wakeup, kNow + absl::Seconds(6));
  EXPECT_EQ(PlanRenewal(plan.next_wakeup, both, policy).steps.size(), 1u);
}

TEST(EndsSoon, ARootWithATenthAndAnIssuingAuthorityWithAFifthOfItsLifeLeft) {
  const absl::Time begin = absl::FromUnixSeconds(1767323045);
  const Validity validity = Validity::Make(begin, begin + absl::Hours(100)).value();
  for (const auto& [role, hours_left] : {std::pair(AuthorityRole::kRoot, 10), std::pair(AuthorityRole::kIssuing, 20)}) {
    const absl::Time last = validity.not_after - absl::Hours(hours_left);
    EXPECT_FALSE(EndsSoon(role, validity, last - absl::Seconds(1))) << AuthorityRoleName(role);
    EXPECT_TRUE(EndsSoon(role, validity, last + absl::Seconds(1))) << AuthorityRoleName(role);
  }
}

}  // namespace
}  // namespace meshca
