#include "ca/service/check_legacy_rights.h"

#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ca/service/admin_methods.h"
#include "test/ca/service/service_fixture.h"
#include "test/fakes/status_matchers.h"

namespace meshca {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class CheckLegacyRightsTest : public ServiceTest {
 protected:
  // A certificate of an older version, which kept no origin, that the server's own user got.
  void Issued(absl::string_view path, absl::string_view caller) {
    IssuanceRecord record;
    record.serial =
        SerialNumber::FromHex(absl::StrCat("7a00", std::string(20, '0'), absl::Dec(++serials_, absl::kZeroPad8)))
            .value();
    record.spiffe_id = Id(path);
    record.key_sha256 = std::string(32, 'k');
    record.certificate_sha256 = std::string(32, 'c');
    record.authority_id = manager->Current()->issuing->id;
    record.not_before = clock.Now();
    record.not_after = clock.Now() + absl::Hours(24);
    record.issued_at = clock.Now();
    record.method = AuthMethod::kServerUser;
    record.caller = std::string(caller);
    store.IssuanceStore::Append(std::move(record), [](absl::Status appended) { EXPECT_THAT(appended, IsOk()); });
  }
  std::vector<std::string> Advice() {
    std::vector<std::string> advice;
    const absl::StatusOr<LegacyRights> rights = FindLegacyRights(store, store, clock.Now());
    EXPECT_THAT(rights, IsOk());
    for (const LegacyRight& right : rights->shown) advice.push_back(LegacyRightAdvice(right));
    return advice;
  }

 private:
  int serials_ = 0;
};

TEST_F(CheckLegacyRightsTest, EachIdentityOfTheServersUserNeedsTheEntryThatIsNamed) {
  Issued("/web", "uid 0");
  Issued("/db", "uid 990");
  Issued("/db", "uid 990");
  EXPECT_THAT(Advice(), ElementsAre("meshca entry create spiffe://cluster.local/db --selector unix:uid:990",
                                    "meshca entry create spiffe://cluster.local/web --selector unix:uid:0"));
}

TEST_F(CheckLegacyRightsTest, AUidThatNamesNobodyNeedsAUserOfItsOwn) {
  Issued("/web", "uid 4294967295");
  EXPECT_THAT(Advice(), ElementsAre(AllOf(HasSubstr("a user of its own"), HasSubstr("4294967295"))));
}

TEST_F(CheckLegacyRightsTest, TheDoctorNamesTwentyAndCountsTheRest) {
  for (int i = 0; i < 23; ++i) Issued(absl::StrCat("/w", i), "uid 0");
  const absl::StatusOr<LegacyRights> rights = FindLegacyRights(store, store, clock.Now());
  ASSERT_THAT(rights, IsOk());
  EXPECT_EQ(rights->count, 23u);
  ASSERT_THAT(rights->shown, SizeIs(20));
  const std::vector<CheckedFact> facts = LegacyRightsFacts(*rights);
  ASSERT_THAT(facts, SizeIs(21));
  EXPECT_THAT(facts.back().detail, HasSubstr("3 more"));
  const auto checked = admin_methods::Check(Context(), "uid 0", {});
  ASSERT_THAT(checked, IsOk());
  int warnings = 0;
  for (const auto& fact : checked->facts()) {
    if (fact.name() != "API socket rights") continue;
    EXPECT_EQ(fact.state(), "warning");
    EXPECT_THAT(fact.mend(), HasSubstr("meshca "));
    ++warnings;
  }
  EXPECT_EQ(warnings, 21);
}

}  // namespace
}  // namespace meshca
