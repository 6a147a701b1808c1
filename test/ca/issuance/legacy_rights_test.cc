#include "ca/issuance/legacy_rights.h"

#include <gmock/gmock.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ca/authority/authority_manager.h"
#include "ca/base/entropy.h"
#include "ca/base/log.h"
#include "test/ca/issuance/test_ca.h"
#include "test/fakes/fake_clock.h"
#include "test/fakes/fake_key_store.h"
#include "test/fakes/memory_store.h"
#include "test/fakes/status_matchers.h"

namespace meshca {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class LegacyRightsTest : public testing::Test {
 protected:
  LegacyRightsTest() {
    SetLogLevel(LogLevel::kError);
    AuthorityOptions options;
    options.trust_domain = TestDomain();
    manager = *AuthorityManager::Create(options, store, keys, clock, SystemEntropy());
    EXPECT_THAT(manager->Start(), IsOk());
  }

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
  // Whose identity needs an entry, and for which uid: "spiffe://cluster.local/web uid 0".
  std::vector<std::string> Found() {
    std::vector<std::string> found;
    const absl::StatusOr<LegacyRights> rights = FindLegacyRights(store, store, clock.Now());
    EXPECT_THAT(rights, IsOk());
    for (const LegacyRight& right : rights->shown) found.push_back(absl::StrCat(right.spiffe_id, " uid ", right.uid));
    return found;
  }

  FakeClock clock;
  MemoryStore store;
  FakeKeyStore keys;
  std::unique_ptr<AuthorityManager> manager;

 private:
  int serials_ = 0;
};

TEST_F(LegacyRightsTest, EachIdentityOfTheServersUserIsFoundWithItsUid) {
  Issued("/web", AuthMethod::kServerUser, "uid 0");
  Issued("/db", AuthMethod::kServerUser, "uid 990");
  Issued("/db", AuthMethod::kServerUser, "uid 990");
  EXPECT_THAT(Found(), ElementsAre("spiffe://cluster.local/db uid 990", "spiffe://cluster.local/web uid 0"));
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
  EXPECT_THAT(Found(), ElementsAre("spiffe://cluster.local/has-one-for-somebody-else uid 0"));
}

TEST_F(LegacyRightsTest, WhatAnOperatorGotByTheAdminSocketNeedsNone) {
  Issued("/old", AuthMethod::kServerUser, "uid 0");
  Issued("/new", AuthMethod::kServerUser, "uid 0", OriginKind::kOperator);
  EXPECT_THAT(Found(), ElementsAre("spiffe://cluster.local/old uid 0"));
}

TEST_F(LegacyRightsTest, AServerThatBeganWithThisVersionReadsOneRecord) {
  Issued("/first", AuthMethod::kServerUser, "uid 0", OriginKind::kOperator);
  Issued("/second", AuthMethod::kServerUser, "uid 0");
  EXPECT_THAT(Found(), IsEmpty());
}

TEST_F(LegacyRightsTest, TwentyAreShownAndAllAreCounted) {
  for (int i = 0; i < 23; ++i) Issued(absl::StrCat("/w", i), AuthMethod::kServerUser, "uid 0");
  const absl::StatusOr<LegacyRights> rights = FindLegacyRights(store, store, clock.Now());
  ASSERT_THAT(rights, IsOk());
  EXPECT_EQ(rights->count, 23u);
  EXPECT_THAT(rights->shown, SizeIs(20));
  EXPECT_TRUE(rights->counted_all);
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
