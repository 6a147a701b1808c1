// A database of an earlier schema, with rows in it, becomes one of today, and keeps what the rows mean.
#include <fcntl.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ca/authority/exported_authority.h"
#include "ca/base/unique_fd.h"
#include "ca/x509/encoding.h"
#include "storage/sqlite/schema.h"
#include "storage/trust_macs.h"
#include "test/fakes/status_matchers.h"
#include "test/storage/conformance.h"
#include "test/storage/sqlite_harness.h"

namespace meshca::storage {
namespace {

using absl::StatusCode;
using testing::SizeIs;

std::unique_ptr<Database> OpenFile(const std::string& path) {
  ConnectionOptions options;
  options.path = path;
  options.query_only = false;
  auto database = Database::Open(options);
  MESHCA_CHECK(database.ok());
  return *std::move(database);
}

// Of the first column. Not by Query, which knows a statement by its address.
std::vector<std::string> Strings(Database& database, const std::string& sql) {
  std::vector<std::string> rows;
  auto add = [](void* to, int, char** columns, char**) {
    static_cast<std::vector<std::string>*>(to)->emplace_back(columns[0]);
    return 0;
  };
  EXPECT_EQ(sqlite3_exec(database.handle(), sql.c_str(), add, &rows, nullptr), SQLITE_OK) << sql;
  return rows;
}

// Makes the closed database of `harness` what a server of schema `version` would have left: its tables as the
// migrations up to there make them, its rows as they are, without what came later.
void TurnBackTo(SqliteHarness& harness, uint32_t version) {
  const std::string past_path = harness.folder() / "past.db";
  {
    UniqueFd made(open(past_path.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600));
    ASSERT_TRUE(made.valid());
  }
  {
    std::unique_ptr<Database> past = OpenFile(past_path);
    ASSERT_THAT(BringUpToDate(*past, Migrations().first(version), [](uint32_t) { return absl::OkStatus(); }), IsOk());
    ASSERT_THAT(past->Exec(absl::StrCat("ATTACH '", harness.path(), "' AS today; DELETE FROM meta")), IsOk());
    const std::vector<std::string> tables = Strings(*past, "SELECT name FROM main.sqlite_master WHERE type = 'table'");
    ASSERT_THAT(tables, testing::Contains("issuance"));
    const std::vector<std::string> kept = Strings(*past, "SELECT name FROM today.sqlite_master WHERE type = 'table'");
    for (const std::string& table : tables) {
      // A later version dropped what nothing had used.
      if (std::find(kept.begin(), kept.end(), table) == kept.end()) continue;
      const std::string columns = absl::StrJoin(
          Strings(*past, absl::StrCat("SELECT name FROM pragma_table_info('", table, "', 'main')")), ", ");
      ASSERT_THAT(past->Exec(absl::StrCat("INSERT INTO main.", table, "(", columns, ") SELECT ", columns,
                                          " FROM today.", table)),
                  IsOk());
    }
    ASSERT_THAT(past->Exec("DETACH today; PRAGMA journal_mode=DELETE"), IsOk());
  }
  std::filesystem::rename(past_path, harness.path());
}

TEST(MigrationFromVersion1, KeepsEveryRow) {
  SqliteHarness harness;
  RecordMaker maker;
  const IssuanceRecord record = maker.Make();
  Activate(harness.store());
  ASSERT_THAT(AppendAndWait(harness.store(), record), IsOk());
  ASSERT_THAT(harness.store().CreateToken(TestToken("t1"), TestAudit()), IsOk());
  SubscriberRecord subscriber = TestSubscriber("pod-1");
  subscriber.rejected = "bad key";
  subscriber.takes_bundle = subscriber.takes_key = false;
  subscriber.evicted_at = kTestNow;
  harness.store().SaveSubscribers({subscriber}, [](absl::Status status) { EXPECT_THAT(status, IsOk()); });
  ASSERT_THAT(harness.store().Probe(), IsOk());
  harness.Close();
  TurnBackTo(harness, 1);
  {
    std::unique_ptr<Database> before = OpenFile(harness.path());
    ASSERT_EQ(*before->Int("PRAGMA user_version"), 1);
    ASSERT_EQ(*before->Int("SELECT count(*) FROM sqlite_master WHERE name LIKE 'rotation%'"), 0);
  }

  ASSERT_TRUE(harness.Reopen());
  Store& store = harness.store();
  EXPECT_EQ(store.Health().schema_version, Migrations().back().version);
  ExpectSame(*store.Find(record.serial), record);
  EXPECT_EQ(store.FindToken(TestToken("t1").secret_sha256)->id, "t1");
  auto trust = store.LoadAuthorities();
  ASSERT_THAT(trust, IsOk());
  EXPECT_EQ(trust->revision, 1u);
  EXPECT_THAT(trust->authorities, SizeIs(2));
  EXPECT_FALSE(trust->rotation.has_value());
  auto rows = store.LoadSubscribers();
  ASSERT_THAT(rows, IsOk());
  ASSERT_THAT(*rows, SizeIs(1));
  const SubscriberRecord& old = rows->front();
  EXPECT_EQ(old.instance, "pod-1");
  EXPECT_EQ(old.trust_version, subscriber.trust_version);
  EXPECT_EQ(old.serial, subscriber.serial);
  EXPECT_EQ(old.acknowledged_at, subscriber.acknowledged_at);
  EXPECT_EQ(old.certificate_expires, subscriber.certificate_expires);
  EXPECT_EQ(old.rejected, "bad key");
  EXPECT_EQ(old.authority_id, "") << "nobody wrote it down then";
  EXPECT_TRUE(old.takes_bundle) << "nobody knows better";
  EXPECT_TRUE(old.takes_key);
  EXPECT_FALSE(old.takes_jwt_keys) << "there were none to take";
  EXPECT_TRUE(trust->jwt_authorities.empty());
  EXPECT_EQ(old.evicted_at, absl::InfiniteFuture());
  EXPECT_THAT(store.Check(), IsOk());

  AuthorityChange change;
  change.expected_revision = 1;
  change.trust_domain = "cluster.local";
  change.rotation = TestRotation(1);
  change.audit = {TestAudit()};
  EXPECT_THAT(store.CommitAuthorities(change), IsOk());
  ExpectSame(*store.LoadAuthorities()->rotation, TestRotation(1));

  std::unique_ptr<Database> backup = OpenFile(harness.path() + ".schema-1-backup");
  EXPECT_EQ(*backup->Int("PRAGMA user_version"), 1);
  EXPECT_EQ(*backup->Int("SELECT count(*) FROM issuance"), 1);
}

TEST(MigrationFromVersion1, GivesTheTablesOfAFreshDatabase) {
  SqliteHarness fresh;
  SqliteHarness old;
  Activate(old.store());
  fresh.Close();
  old.Close();
  TurnBackTo(old, 1);
  ASSERT_TRUE(old.Reopen());
  old.Close();
  // Both went through the same migrations; that a migration with rows stops half-way would show here.
  const std::string sql = "SELECT type || ' ' || name || ' ' || coalesce(sql, '') FROM sqlite_master ORDER BY 1";
  EXPECT_EQ(Strings(*OpenFile(old.path()), sql), Strings(*OpenFile(fresh.path()), sql));
}

TEST(MigrationFromVersion4, KeepsEntriesAndTokensAsTheyWere) {
  SqliteHarness harness;
  Activate(harness.store());
  ASSERT_THAT(harness.store().CreateEntry(TestEntry("e1"), TestAudit()), IsOk());
  ASSERT_THAT(harness.store().CreateToken(TestToken("t1"), TestAudit()), IsOk());
  harness.Close();
  TurnBackTo(harness, 4);
  ASSERT_EQ(*OpenFile(harness.path())->Int("SELECT count(*) FROM sqlite_master WHERE name = 'node'"), 0);

  ASSERT_TRUE(harness.Reopen());
  Store& store = harness.store();
  EXPECT_THAT(store.Check(), IsOk()) << "rows without the added columns have none of their MACs";
  const auto entries = store.ListEntries();
  ASSERT_THAT(entries, IsOk());
  ASSERT_THAT(*entries, SizeIs(1));
  EXPECT_FALSE(entries->front().ServedByAgents());
  EXPECT_EQ(entries->front().jwt_ttl, absl::ZeroDuration());
  EXPECT_FALSE(store.FindToken(TestToken("t1").secret_sha256)->replace);
  EXPECT_THAT(*store.ListNodes(), SizeIs(0));
  RegistrationEntry twice = TestEntry("e2");
  EXPECT_THAT(store.CreateEntry(twice, TestAudit()), StatusIs(StatusCode::kAlreadyExists));
  twice.nodes = {"web-*"};
  EXPECT_THAT(store.CreateEntry(twice, TestAudit()), IsOk());
  EXPECT_THAT(store.Check(), IsOk());
  harness.Close();
  EXPECT_GE(*OpenFile(harness.path())->Int("SELECT min_reader FROM meta"), 5)
      << "an earlier program would serve the second entry on its own socket";
}

TEST(MigrationFromVersion6, KnowsTheMachinesOfNodesByTheirLine) {
  SqliteHarness harness;
  Activate(harness.store());
  RegistrationEntry entry = TestEntry("e1");
  entry.nodes = {"*"};
  ASSERT_THAT(harness.store().CreateEntry(entry, TestAudit()), IsOk());
  RecordMaker maker;
  const auto join = [&](absl::string_view token_id) {
    JoinToken token = TestToken(token_id);
    token.spiffe_id = *SpiffeId::Parse("spiffe://cluster.local/meshca/agent/web-1");
    token.node = "web-1";
    token.replace = true;
    EXPECT_THAT(harness.store().CreateToken(token, TestAudit()), IsOk());
    IssuanceRecord record = maker.Make(token.spiffe_id.uri());
    record.method = AuthMethod::kJoinToken;
    record.token_id = token.id;
    record.origin = {OriginKind::kJoinToken, token.id};
    EXPECT_THAT(AppendAndWait(harness.store(), record), IsOk());
    return record;
  };
  const auto workload_of = [&](const IssuanceRecord& agent) {
    IssuanceRecord record = maker.Make();
    record.method = AuthMethod::kAgent;
    record.node = "web-1";
    record.origin = {OriginKind::kEntry, "e1"};
    record.presented = Shown(agent);
    EXPECT_THAT(AppendAndWait(harness.store(), record), IsOk());
    return record;
  };
  const IssuanceRecord before = workload_of(join("t1"));
  const IssuanceRecord agent = join("t2");
  const IssuanceRecord workload = workload_of(agent);
  // A row of then: without the number, and with the MAC that it had.
  NodeRecord row = *harness.store().FindNode("web-1");
  const int64_t number = row.joined_number;
  row.joined_number = 0;
  const std::string mac = HexLower(MacOf(row, *harness.options().keys));
  harness.Close();
  Exec(harness.path(), absl::StrCat("UPDATE node SET joined_number = 0, mac = x'", mac, "'"));
  TurnBackTo(harness, 6);
  ASSERT_TRUE(harness.Reopen());
  Store& store = harness.store();
  EXPECT_EQ(*store.FindNode("web-1"), row);
  EXPECT_THAT(store.JudgePresented(Shown(workload), nullptr), IsOk());
  EXPECT_THAT(store.JudgePresented(Shown(before), nullptr), HasReason(kNodeReplaced));
  ASSERT_THAT(AppendAndWait(store, RenewalOf(agent, maker)), IsOk());
  EXPECT_EQ(store.FindNode("web-1")->joined_number, number) << "the next certificate of the agent writes it down";
  EXPECT_THAT(store.JudgePresented(Shown(before), nullptr), HasReason(kNodeReplaced));
  EXPECT_THAT(store.Check(), IsOk());
}

// As the place of its key alone told of it then.
TEST(MigrationFromVersion8, AnExportedAuthorityStaysOne) {
  SqliteHarness harness;
  Activate(harness.store());
  AuthorityChange change;
  change.trust_domain = "cluster.local";
  change.audit = {TestAudit("authority.export")};
  change.expected_revision = 1;
  change.authorities = {TestAuthority(kIssuingB, AuthorityState::kOld)};
  change.authorities[0].key_reference = std::string(kExportedKey);
  change.authorities[0].sealed_key.clear();
  ASSERT_THAT(harness.store().CommitAuthorities(change), IsOk());
  harness.Close();
  TurnBackTo(harness, 8);
  ASSERT_TRUE(harness.Reopen());
  auto trust = harness.store().LoadAuthorities();
  ASSERT_THAT(trust, IsOk());
  StoredAuthority exported = trust->authorities[1];
  EXPECT_FALSE(exported.exported);
  EXPECT_TRUE(WasExported(exported));
  EXPECT_EQ(CountExportedOutside(*trust, "another root"), 1u);
  // It comes back, and what adopts it writes down what it was.
  exported.exported = WasExported(exported);
  exported.key_reference = "sealed";
  change.expected_revision = trust->revision;
  change.authorities = {exported};
  ASSERT_THAT(harness.store().CommitAuthorities(change), IsOk());
  EXPECT_TRUE(WasExported(harness.store().LoadAuthorities()->authorities[1]));
  EXPECT_THAT(harness.store().Check(), IsOk());
}

TEST(Rotations, AreOneAtATimeInTheTableToo) {
  SqliteHarness harness;
  harness.Close();
  std::unique_ptr<Database> database = OpenFile(harness.path());
  const auto insert = [&](int number, RotationStep step) {
    return database->Exec(absl::StrCat("INSERT INTO rotation VALUES(", number, ", ", static_cast<int>(step),
                                       ", 'o', 'n', 0, 0, 0, 0, 0, '', 0, 0, 0, 0, 0, '', x'')"));
  };
  ASSERT_THAT(insert(1, RotationStep::kDone), IsOk());
  ASSERT_THAT(insert(2, RotationStep::kDone), IsOk());
  ASSERT_THAT(insert(3, RotationStep::kDrain), IsOk());
  EXPECT_THAT(insert(4, RotationStep::kPrepare), StatusIs(StatusCode::kAlreadyExists));
  EXPECT_THAT(insert(5, RotationStep::kDone), IsOk());
}

}  // namespace
}  // namespace meshca::storage
