#include "ca/service/legacy_rights.h"

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
using ::testing::IsEmpty;
using ::testing::SizeIs;

class LegacyRightsTest : public ServiceTest {
 protected:
  // A certificate that somebody got; of an older version, which kept no origin, unless `origin` says otherwise.
  void Issued(absl::string_view path, AuthMethod method, absl::string_view caller, OriginKind origin = {},
              absl::Duration lifetime = absl::Hours(24)) {
    IssuanceRecord record;
    record.serial =
        SerialNumber::FromHex(absl::StrCat("7a00", std::string(20, '0'), absl::Dec(++serials_, absl::kZeroPad8)))
            .value();
    record.spiffe_id = Id(path);
    record.key_sha256 = std::string(32, 'k');
    record.certificate_sha256 = std::string(32, 'c');
    record.authority_id = manager->Current()->issuing->id;
    record.not_before = clock.Now();
    record.not_after = clock.Now() + lifetime;
    record.issued_at = clock.Now();
    record.method = method;
    record.caller = std::string(caller);
    record.origin.kind = origin;
    store.IssuanceStore::Append(std::move(record), [](absl::Status appended) { EXPECT_THAT(appended, IsOk()); });
  }
  void Entry(absl::string_view path, std::vector<std::string> selectors) {
    RegistrationEntry entry;
    entry.id = absl::StrCat("entry-", ++serials_);
    entry.spiffe_id = Id(path);
    entry.selectors = std::move(selectors);
    ASSERT_THAT(store.CreateEntry(entry, AuditEntry()), IsOk());
  }
  std::vector<std::string> Advice() {
    std::vector<std::string> advice;
    const absl::StatusOr<LegacyRights> rights = FindLegacyRights(store, store, clock.Now());
    EXPECT_THAT(rights, IsOk());
    for (const LegacyRight& right : rights->shown) advice.push_back(right.Advice());
    return advice;
  }

 private:
  int serials_ = 0;
};

TEST_F(LegacyRightsTest, EachIdentityOfTheServersUserNeedsTheEntryThatIsNamed) {
  Issued("/web", AuthMethod::kServerUser, "uid 0");
  Issued("/db", AuthMethod::kServerUser, "uid 990");
  Issued("/db", AuthMethod::kServerUser, "uid 990");
  EXPECT_THAT(Advice(), ElementsAre("meshca entry create spiffe://cluster.local/db --selector unix:uid:990",
                                    "meshca entry create spiffe://cluster.local/web --selector unix:uid:0"));
}

TEST_F(LegacyRightsTest, WhoHasAnotherWayNeedsNone) {
  Issued("/by-token-since", AuthMethod::kServerUser, "uid 0");
  Issued("/by-token-since", AuthMethod::kJoinToken, "token 5f0c");
  Issued("/by-entry", AuthMethod::kUnixPeer, "uid 0");
  Issued("/has-one-already", AuthMethod::kServerUser, "uid 0");
  Entry("/has-one-already", {"unix:uid:0"});
  Issued("/has-one-for-its-program", AuthMethod::kServerUser, "uid 0");
  Entry("/has-one-for-its-program", {"unix:path:/usr/bin/envoy"});
  Issued("/has-one-for-somebody-else", AuthMethod::kServerUser, "uid 0");
  Entry("/has-one-for-somebody-else", {"unix:uid:1000"});
  Issued("/ended", AuthMethod::kServerUser, "uid 0", {}, -absl::Minutes(1));
  Issued("/meshca/server", AuthMethod::kServerUser, "meshca");
  EXPECT_THAT(Advice(), ElementsAre(HasSubstr("/has-one-for-somebody-else --selector unix:uid:0")));
}

TEST_F(LegacyRightsTest, WhatAnOperatorGotByTheAdminSocketNeedsNone) {
  Issued("/old", AuthMethod::kServerUser, "uid 0");
  Issued("/new", AuthMethod::kServerUser, "uid 0", OriginKind::kOperator);
  EXPECT_THAT(Advice(), ElementsAre(HasSubstr("/old ")));
}

TEST_F(LegacyRightsTest, AServerThatBeganWithThisVersionReadsOneRecord) {
  Issued("/first", AuthMethod::kServerUser, "uid 0", OriginKind::kOperator);
  Issued("/second", AuthMethod::kServerUser, "uid 0");
  EXPECT_THAT(Advice(), IsEmpty());
}

TEST_F(LegacyRightsTest, AUidThatNamesNobodyNeedsAUserOfItsOwn) {
  Issued("/web", AuthMethod::kServerUser, "uid 4294967295");
  EXPECT_THAT(Advice(), ElementsAre(AllOf(HasSubstr("a user of its own"), HasSubstr("4294967295"))));
}

TEST_F(LegacyRightsTest, TheDoctorNamesTwentyAndCountsTheRest) {
  for (int i = 0; i < 23; ++i) Issued(absl::StrCat("/w", i), AuthMethod::kServerUser, "uid 0");
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

TEST_F(LegacyRightsTest, TheSearchStopsWhenTold) {
  for (int i = 0; i < 5; ++i) Issued(absl::StrCat("/w", i), AuthMethod::kServerUser, "uid 0");
  int asked = 0;
  const auto rights = FindLegacyRights(store, store, clock.Now(), [&] { return ++asked > 2; });
  ASSERT_THAT(rights, IsOk());
  EXPECT_EQ(rights->count, 2u);
  EXPECT_EQ(asked, 3);
}

}  // namespace
}  // namespace meshca
