#include "ca/pod_certificates/pod_certificate_terms.h"

#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/issuance/test_ca.h"
#include "test/fakes/status_matchers.h"

namespace meshca {
namespace {

using testing::HasSubstr;

const absl::Time kNow = absl::FromUnixSeconds(1'790'000'000);

struct ProfileCase {
  const char* name;
  absl::Duration lifetime;  // of leaves
  absl::Duration backdate;
  absl::Duration wanted_life;  // from notBefore to notAfter
  absl::Duration wanted_backdate;
};

class PodProfile : public testing::TestWithParam<ProfileCase> {};

TEST_P(PodProfile, KeepsTheApiServersRules) {
  CertificateProfile leaf;
  leaf.lifetime_default = GetParam().lifetime;
  leaf.lifetime_max = std::max(leaf.lifetime_default, absl::Minutes(30));
  leaf.backdate = GetParam().backdate;
  const CertificateProfile profile = PodCertificateProfile(leaf);
  EXPECT_TRUE(profile.Validate().ok()) << profile.Validate();
  EXPECT_EQ(profile.lifetime_default + profile.backdate, GetParam().wanted_life);
  EXPECT_EQ(profile.backdate, GetParam().wanted_backdate);
  EXPECT_EQ(profile.lifetime_min + profile.backdate, kPodLifeMin);
  EXPECT_EQ(LongestLifetime(profile, absl::Hours(2)) + profile.backdate, absl::Hours(2));
}

INSTANTIATE_TEST_SUITE_P(
    Leaf, PodProfile,
    testing::Values(ProfileCase{"Usual", absl::Hours(24), absl::Minutes(2), absl::Hours(24), absl::Minutes(2)},
                    ProfileCase{"BackdatedFar", absl::Hours(24), absl::Hours(1), absl::Hours(24), absl::Minutes(4)},
                    ProfileCase{"NotBackdated", absl::Hours(24), absl::ZeroDuration(), absl::Hours(24),
                                absl::ZeroDuration()},
                    ProfileCase{"ShortLived", absl::Minutes(5), absl::Minutes(2), absl::Hours(1), absl::Minutes(2)},
                    ProfileCase{"NoWholeSeconds", absl::Hours(2) + absl::Milliseconds(700), absl::Milliseconds(1500),
                                absl::Hours(2), absl::Seconds(1)}),
    [](const auto& info) { return std::string(info.param.name); });

struct RefreshCase {
  const char* name;
  absl::Duration life;
  bool leaves_soon;
  absl::Duration wanted;  // after notBefore
};

class PodRefresh : public testing::TestWithParam<RefreshCase> {};

TEST_P(PodRefresh, BeginsBetweenTenMinutesFromEitherEnd) {
  const Validity validity{kNow, kNow + GetParam().life};
  const absl::Time at = BeginRefreshAt(validity, GetParam().leaves_soon);
  EXPECT_EQ(at - kNow, GetParam().wanted);
  EXPECT_GE(at, validity.not_before + absl::Minutes(10));
  EXPECT_LE(at, validity.not_after - absl::Minutes(10));
}

INSTANTIATE_TEST_SUITE_P(Life, PodRefresh,
                         testing::Values(RefreshCase{"Day", absl::Hours(24), false, absl::Hours(12)},
                                         RefreshCase{"Hour", absl::Hours(1), false, absl::Minutes(30)},
                                         RefreshCase{"OddSeconds", absl::Seconds(3601), false, absl::Seconds(1800)},
                                         RefreshCase{"DayOfARootThatIsLeft", absl::Hours(24), true, absl::Minutes(10)},
                                         RefreshCase{"HourOfARootThatIsLeft", absl::Hours(1), true, absl::Minutes(10)},
                                         RefreshCase{"Shortest", absl::Minutes(20), false, absl::Minutes(10)}),
                         [](const auto& info) { return std::string(info.param.name); });

struct ValidityCase {
  const char* name;
  absl::Duration begin;  // from now
  absl::Duration life;
  const char* fault;  // "": none
};

class PodValidity : public testing::TestWithParam<ValidityCase> {};

TEST_P(PodValidity, IsCheckedAsTheApiServerWill) {
  const absl::Time begin = kNow + GetParam().begin;
  const absl::Status status = CheckPodValidity({begin, begin + GetParam().life}, absl::Hours(2), kNow);
  if (*GetParam().fault == '\0') {
    EXPECT_TRUE(status.ok()) << status;
  } else {
    EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().fault));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Rule, PodValidity,
    testing::Values(ValidityCase{"AnHour", -absl::Minutes(4), absl::Hours(1), ""},
                    ValidityCase{"AllThatWasAskedFor", -absl::Minutes(2), absl::Hours(2), ""},
                    ValidityCase{"ASecondLess", -absl::Minutes(4), absl::Seconds(3599), "an hour at least"},
                    ValidityCase{"ASecondMore", -absl::Minutes(4), absl::Seconds(7201), "2h at most"},
                    ValidityCase{"BegunLongAgo", -absl::Seconds(301), absl::Hours(1), "within five minutes"}),
    [](const auto& info) { return std::string(info.param.name); });

class AuthorityLasts : public testing::Test {
 protected:
  absl::Status At(absl::Time now) const { return CheckAuthorityLasts(*snapshot_, profile_, now); }
  const std::shared_ptr<const AuthoritySnapshot> snapshot_ = NewSnapshot(kNow);
  const Validity& issuing_ = snapshot_->issuing->certificate.validity();
  const CertificateProfile profile_ = PodCertificateProfile(CertificateProfile());
};

TEST_F(AuthorityLasts, AnHourIsLeftForTheLeaf) {
  EXPECT_TRUE(At(kNow).ok()) << At(kNow);
  EXPECT_TRUE(At(issuing_.not_after - profile_.lifetime_min).ok());
}

TEST_F(AuthorityLasts, OneThatEndsBeforeIsRenewedFirst) {
  const absl::Status status = At(issuing_.not_after - profile_.lifetime_min + absl::Seconds(1));
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("once the authority is renewed"));
}

TEST_F(AuthorityLasts, NothingSigns) {
  AuthoritySnapshot none = *snapshot_;
  none.issuing = nullptr;
  EXPECT_TRUE(absl::IsUnavailable(CheckAuthorityLasts(none, profile_, kNow)));
}

TEST_F(AuthorityLasts, ARotationLeavesTheRootUntilItHasEnded) {
  AuthoritySnapshot snapshot = *snapshot_;
  EXPECT_FALSE(RootIsBeingLeft(snapshot));
  snapshot.rotation.emplace();
  snapshot.rotation->old_root_id = "another";
  EXPECT_FALSE(RootIsBeingLeft(snapshot)) << "what signs leads to the new root";
  snapshot.rotation->old_root_id = snapshot.issuing->root_id;
  EXPECT_TRUE(RootIsBeingLeft(snapshot));
}

}  // namespace
}  // namespace meshca
