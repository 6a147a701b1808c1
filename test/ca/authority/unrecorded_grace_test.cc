#include "ca/authority/unrecorded_grace.h"

#include <functional>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace meshca {
namespace {

using ::testing::ElementsAre;

const absl::Time kNow = absl::FromUnixSeconds(1767323045);

SigningAuthority Authority(AuthorityRole role, const std::string& id, const std::string& root_id) {
  SigningAuthority authority;
  authority.role = role;
  authority.state = AuthorityState::kOld;
  authority.id = id;
  authority.root_id = root_id;
  return authority;
}

// Root R with issuing authorities a and b under it.
std::vector<SigningAuthority> Authorities() {
  return {Authority(AuthorityRole::kRoot, "R", "R"), Authority(AuthorityRole::kIssuing, "a", "R"),
          Authority(AuthorityRole::kIssuing, "b", "R")};
}

UnrecordedGrace Grace(std::vector<std::string> ids = {"a", "b"}) {
  UnrecordedGrace grace;
  grace.until = kNow + absl::Hours(24);
  grace.authority_ids = std::move(ids);
  grace.why = "import /etc/istio";
  return grace;
}

TEST(UnrecordedGrace, TextGoesThereAndBackWhateverTheFoldersName) {
  for (const std::string& why : {"import /etc/istio/cacerts", "", "import /a b/\n\"c\"\\,\xc3\xa4", "a; b"}) {
    UnrecordedGrace grace = Grace();
    grace.why = why;
    EXPECT_EQ(UnrecordedGraceFromText(UnrecordedGraceToText(grace)), grace) << why;
    EXPECT_EQ(UnrecordedGraceToText(grace).find('\n'), std::string::npos);
  }
  for (const char* bad : {"", "1767323045", "soon a,b why", "1767323045 a", "1767323045  why", "1 a \\q"}) {
    EXPECT_FALSE(UnrecordedGraceFromText(bad).has_value()) << bad;
  }
}

struct RemainingCase {
  const char* name;
  std::function<void(std::vector<SigningAuthority>&)> change;
  absl::Duration later;
  std::vector<std::string> left;  // empty: it has ended
};
class RemainingGraceTest : public testing::TestWithParam<RemainingCase> {};

TEST_P(RemainingGraceTest, EndsByTimeTaintAndRetirement) {
  std::vector<SigningAuthority> authorities = Authorities();
  GetParam().change(authorities);
  const std::optional<UnrecordedGrace> left = RemainingGrace(Grace(), authorities, kNow + GetParam().later);
  if (GetParam().left.empty()) {
    EXPECT_FALSE(left.has_value());
  } else {
    EXPECT_EQ(left, Grace(GetParam().left));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Rules, RemainingGraceTest,
    testing::Values(
        RemainingCase{"Stands", [](auto&) {}, absl::Hours(23), {"a", "b"}},
        RemainingCase{"LastMoment", [](auto&) {}, absl::Hours(24) - absl::Seconds(1), {"a", "b"}},
        RemainingCase{"ItsEnd", [](auto&) {}, absl::Hours(24), {}},
        RemainingCase{"OneTainted", [](auto& all) { all[1].tainted = true; }, absl::Hours(1), {"b"}},
        RemainingCase{"RootTainted", [](auto& all) { all[0].tainted = true; }, absl::Hours(1), {}},
        RemainingCase{"OneRetired", [](auto& all) { all[2].state = AuthorityState::kRetired; }, absl::Hours(1), {"a"}},
        RemainingCase{"RootNotKnown", [](auto& all) { all.erase(all.begin()); }, absl::Hours(1), {"a", "b"}},
        RemainingCase{"Forgotten", [](auto& all) { all.resize(1); }, absl::Hours(1), {}}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(UnrecordedGrace, TwoAtOnceCoverBothUntilTheLaterEnd) {
  UnrecordedGrace later = Grace({"b", "c"});
  later.until += absl::Hours(1);
  later.why = "restored from a backup";
  const UnrecordedGrace both = JoinGraces(Grace(), later);
  EXPECT_THAT(both.authority_ids, ElementsAre("a", "b", "c"));
  EXPECT_EQ(both.until, later.until);
  EXPECT_EQ(both.why, "import /etc/istio; restored from a backup");
  EXPECT_EQ(JoinGraces(both, both), both);
}

TEST(UnrecordedGrace, ARestoreCoversIssuingAuthoritiesThatMayStillHaveSigned) {
  std::vector<SigningAuthority> authorities = Authorities();
  EXPECT_THAT(AuthoritiesBeforeRestore(authorities), ElementsAre("a", "b"));
  authorities[1].tainted = true;
  EXPECT_THAT(AuthoritiesBeforeRestore(authorities), ElementsAre("b"));
  authorities[2].state = AuthorityState::kRetired;
  EXPECT_THAT(AuthoritiesBeforeRestore(authorities), ElementsAre());
}

}  // namespace
}  // namespace meshca
