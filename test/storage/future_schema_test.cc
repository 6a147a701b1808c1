// The next release will have added columns. Going back to this one must not be locked out by them.
#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "storage/sqlite/database.h"
#include "storage/sqlite/schema.h"
#include "test/storage/renewal_conformance.h"
#include "test/storage/sqlite_harness.h"

namespace meshca::storage {
namespace {

using absl::StatusCode;
using testing::AllOf;
using testing::HasSubstr;

std::unique_ptr<Database> OpenFile(const std::string& path) {
  ConnectionOptions options;
  options.path = path;
  options.query_only = false;
  auto database = Database::Open(options);
  MESHCA_CHECK(database.ok());
  return *std::move(database);
}

std::vector<std::string> Tables(Database& database) {
  std::vector<std::string> tables;
  Query rows(database, "SELECT name FROM sqlite_master WHERE type = 'table'");
  while (rows.Next()) tables.push_back(rows.String());
  return tables;
}

// What a migration of a later release would do: a column with a default in every table, a higher schema number, and
// the word that this meshca can still use it.
void MigrateToTheFuture(const std::string& path) {
  std::unique_ptr<Database> database = OpenFile(path);
  const std::vector<std::string> tables = Tables(*database);
  MESHCA_CHECK(tables.size() > 10);
  for (const std::string& table : tables) {
    MESHCA_CHECK(
        database->Exec(absl::StrCat("ALTER TABLE ", table, " ADD COLUMN future TEXT NOT NULL DEFAULT 'default'")).ok());
  }
  MESHCA_CHECK(database->Exec("PRAGMA user_version=99").ok());
}

// A store whose database a later release has migrated.
class FutureHarness final : public StoreHarness {
 public:
  FutureHarness() {
    harness_.Close();
    MigrateToTheFuture(harness_.path());
    MESHCA_CHECK(harness_.Reopen());
  }
  Store& store() override { return harness_.store(); }
  bool Reopen() override { return harness_.Reopen(); }

 private:
  SqliteHarness harness_;
};

const auto kFuture =
    testing::Values(StoreKind{"SqliteOfALaterRelease", [] { return std::make_unique<FutureHarness>(); }});
INSTANTIATE_TEST_SUITE_P(Future, StoreConformance, kFuture, StoreKindName);
INSTANTIATE_TEST_SUITE_P(Future, RenewalConformance, kFuture, StoreKindName);
INSTANTIATE_TEST_SUITE_P(Future, NodeConformance, kFuture, StoreKindName);
INSTANTIATE_TEST_SUITE_P(Future, RevocationConformance, kFuture, StoreKindName);

TEST(FutureSchema, IsRefusedWhereItSaysThatThisProgramIsTooOld) {
  SqliteHarness harness;
  harness.Close();
  MigrateToTheFuture(harness.path());
  const uint32_t newest = Migrations().back().version;
  for (const uint32_t min_reader : {newest, newest + 1}) {
    ASSERT_THAT(OpenFile(harness.path())->Exec(absl::StrCat("UPDATE meta SET min_reader = ", min_reader)), IsOk());
    const absl::Status opened = OpenSqliteStore(harness.options()).status();
    if (min_reader <= newest) {
      EXPECT_THAT(opened, IsOk());
    } else {
      EXPECT_THAT(opened, StatusIs(StatusCode::kFailedPrecondition,
                                   AllOf(HasSubstr("schema version 99"), HasSubstr("run the newer meshca"))));
    }
  }
  EXPECT_EQ(*OpenFile(harness.path())->Int("PRAGMA user_version"), 99) << "nothing was turned back";
}

TEST(FutureSchema, KeepsTheValuesOfItsColumnsThroughOurChanges) {
  SqliteHarness harness;
  Store* store = &harness.store();
  const auto write = [&] {
    AuthorityChange change;
    change.expected_revision = store->LoadAuthorities()->revision;
    change.trust_domain = "cluster.local";
    change.authorities = {TestAuthority(kIssuingA)};
    change.jwt_authorities = {TestJwtAuthority("kid")};
    change.rotation = TestRotation(1);
    change.audit = {TestAudit()};
    ASSERT_THAT(store->CommitAuthorities(change), IsOk());
    ASSERT_THAT(store->PutEntry(TestEntry("e1"), TestAudit()), IsOk());
    ASSERT_THAT(store->PutSealedSetting("grace", "x"), IsOk());
    store->SaveSubscribers({TestSubscriber("pod-1")}, [](absl::Status status) { EXPECT_THAT(status, IsOk()); });
    ASSERT_THAT(store->Probe(), IsOk());
  };
  write();
  harness.Close();
  MigrateToTheFuture(harness.path());
  const std::vector<std::string> tables = {"authority", "jwt_authority", "rotation", "entry", "setting", "subscriber"};
  for (const std::string& table : tables) {
    ASSERT_THAT(OpenFile(harness.path())->Exec(absl::StrCat("UPDATE ", table, " SET future = 'theirs'")), IsOk());
  }
  ASSERT_TRUE(harness.Reopen());
  store = &harness.store();
  write();
  harness.Close();
  for (const std::string& table : tables) {
    EXPECT_EQ(*OpenFile(harness.path())->Int(absl::StrCat("SELECT count(*) FROM ", table, " WHERE future <> 'theirs'")),
              0)
        << table;
  }
}

// ---- MACs ----

struct MacRead {
  const char* table;
  absl::Status (*read)(Store&);
};
const MacRead kMacReads[] = {
    {"authority", [](Store& store) { return store.LoadAuthorities().status(); }},
    {"bundle", [](Store& store) { return store.LoadAuthorities().status(); }},
    {"rotation", [](Store& store) { return store.LoadAuthorities().status(); }},
    {"jwt_authority", [](Store& store) { return store.LoadAuthorities().status(); }},
    {"bundle_jwt_keys", [](Store& store) { return store.LoadAuthorities().status(); }},
    {"token", [](Store& store) { return store.ListTokens().status(); }},
    {"entry", [](Store& store) { return store.ListEntries().status(); }},
    {"node", [](Store& store) { return store.ListNodes().status(); }},
    {"setting", [](Store& store) { return store.GetSealedSetting("grace").status(); }},
};

class RowMacs : public testing::TestWithParam<MacRead> {
 protected:
  RowMacs() {
    AuthorityChange change;
    change.expected_revision = Activate(harness_.store());
    change.trust_domain = "cluster.local";
    change.rotation = TestRotation(1);
    change.jwt_authorities = {TestJwtAuthority("kid")};
    change.bundle = TestBundle(2);
    change.bundle->jwt_keys_der = {"key"};
    change.sealed_settings = {{"grace", "value"}};
    change.audit = {TestAudit()};
    EXPECT_THAT(harness_.store().CommitAuthorities(change), IsOk());
    EXPECT_THAT(harness_.store().CreateToken(TestToken("t1"), TestAudit()), IsOk());
    EXPECT_THAT(harness_.store().CreateEntry(TestEntry("e1"), TestAudit()), IsOk());
    JoinToken agent = TestToken("t2");
    agent.spiffe_id = *SpiffeId::Parse("spiffe://cluster.local/meshca/agent/web-1");
    EXPECT_THAT(harness_.store().CreateToken(agent, TestAudit()), IsOk());
    RecordMaker maker;
    IssuanceRecord joined = maker.Make(agent.spiffe_id.uri());
    joined.method = AuthMethod::kJoinToken;
    joined.token_id = "t2";
    EXPECT_THAT(AppendAndWait(harness_.store(), joined), IsOk());
    EXPECT_THAT(GetParam().read(harness_.store()), IsOk());
  }
  absl::Status ReadWithMac(const std::string& expression) {
    harness_.Close();
    EXPECT_THAT(OpenFile(harness_.path())
                    ->Exec(absl::StrCat("UPDATE ", GetParam().table, " SET mac = CAST(", expression, " AS BLOB)")),
                IsOk());
    EXPECT_TRUE(harness_.Reopen());
    return GetParam().read(harness_.store());
  }

  SqliteHarness harness_;
};

TEST_P(RowMacs, WithoutAVersionByteAreThoseOfEarlierSchemasAndStayGood) {
  EXPECT_THAT(ReadWithMac("substr(mac, 2)"), IsOk());
  EXPECT_THAT(harness_.store().Check(), IsOk());
}

TEST_P(RowMacs, OfAnUnknownVersionAreANewerMeshcasAndNotForged) {
  const absl::Status read = ReadWithMac("x'02' || substr(mac, 2)");
  EXPECT_THAT(read, StatusIs(StatusCode::kFailedPrecondition,
                             AllOf(HasSubstr("written by a newer meshca"), testing::Not(HasSubstr("by hand")))));
  EXPECT_THAT(read, HasReason("ROW_MAC_NEWER"));
}

// An entry that says something in its added columns cannot be turned into one that was written before there were any.
TEST(AddedColumns, CannotBeTakenOutOfARow) {
  struct Case {
    const char* name;
    const char* sql;
  };
  const Case cases[] = {
      {"Nodes", "UPDATE entry SET nodes = x'0000000000000000', hint = '', jwt_ttl = 0, added_mac = x''"},
      {"NodesAlone", "UPDATE entry SET nodes = x'0000000000000000'"},
      {"Mac", "UPDATE entry SET added_mac = x''"},
      {"JwtTtl", "UPDATE entry SET jwt_ttl = 1"},
      {"Replace", "UPDATE token SET replace = 1"},
      {"ReplaceWithoutMac", "UPDATE token SET replace = 1, added_mac = x''"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    SqliteHarness harness;
    RegistrationEntry entry = TestEntry("e1");
    entry.nodes = {"web-*"};
    ASSERT_THAT(harness.store().CreateEntry(entry, TestAudit()), IsOk());
    ASSERT_THAT(harness.store().CreateToken(TestToken("t1"), TestAudit()), IsOk());
    harness.Close();
    Exec(harness.path(), c.sql);
    ASSERT_TRUE(harness.Reopen());
    const absl::Status read = harness.store().ListEntries().status();
    EXPECT_THAT(read.ok() ? harness.store().ListTokens().status() : read, HasReason("ROW_MAC_MISMATCH"));
  }
}

// Nor can a node's row be made one that an earlier version wrote, or give the name to what came before.
TEST(AddedColumns, CannotBeTakenOutOfANodesRow) {
  for (const char* number : {"0", "joined_number - 1", "joined_number + 1"}) {
    SCOPED_TRACE(number);
    SqliteHarness harness;
    Activate(harness.store());
    JoinToken token = TestToken("t1");
    token.spiffe_id = *SpiffeId::Parse("spiffe://cluster.local/meshca/agent/web-1");
    ASSERT_THAT(harness.store().CreateToken(token, TestAudit()), IsOk());
    RecordMaker maker;
    ASSERT_THAT(AppendAndWait(harness.store(), maker.Make()), IsOk());
    IssuanceRecord joined = maker.Make(token.spiffe_id.uri());
    joined.method = AuthMethod::kJoinToken;
    joined.token_id = "t1";
    ASSERT_THAT(AppendAndWait(harness.store(), joined), IsOk());
    EXPECT_EQ(harness.store().FindNode("web-1")->joined_number, 2);
    harness.Close();
    Exec(harness.path(), absl::StrCat("UPDATE node SET joined_number = ", number));
    ASSERT_TRUE(harness.Reopen());
    EXPECT_THAT(harness.store().FindNode("web-1"), HasReason("ROW_MAC_MISMATCH"));
  }
}

TEST_P(RowMacs, ThatDoNotFitAreForged) {
  for (const char* mac : {"x''", "x'01'", "zeroblob(32)", "zeroblob(33)", "x'01' || zeroblob(32)", "mac || x'00'"}) {
    EXPECT_THAT(ReadWithMac(mac), HasReason("ROW_MAC_MISMATCH")) << mac;
  }
}

INSTANTIATE_TEST_SUITE_P(Tables, RowMacs, testing::ValuesIn(kMacReads),
                         [](const auto& info) { return std::string(info.param.table); });

}  // namespace
}  // namespace meshca::storage
