// What SQLite's store promises beyond the conformance suite: whose file it opens, and what it says when it does not.
#include "storage/sqlite/sqlite_store.h"

#include <gmock/gmock.h>
#include <linux/magic.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <future>
#include <map>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ca/authority/settings.h"
#include "ca/base/status.h"
#include "storage/sqlite/schema.h"
#include "storage/sqlite/state_folder.h"
#include "storage/sqlite/unreplaced_leaves.h"
#include "test/fakes/status_matchers.h"
#include "test/storage/renewal_conformance.h"
#include "test/storage/sqlite_harness.h"

namespace meshca::storage {
namespace {

using absl::StatusCode;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

INSTANTIATE_TEST_SUITE_P(Sqlite, StoreConformance,
                         testing::Values(StoreKind{"Sqlite", [] { return std::make_unique<SqliteHarness>(); }}),
                         StoreKindName);
INSTANTIATE_TEST_SUITE_P(Sqlite, RenewalConformance,
                         testing::Values(StoreKind{"Sqlite", [] { return std::make_unique<SqliteHarness>(); }}),
                         StoreKindName);
INSTANTIATE_TEST_SUITE_P(Sqlite, NodeConformance,
                         testing::Values(StoreKind{"Sqlite", [] { return std::make_unique<SqliteHarness>(); }}),
                         StoreKindName);
INSTANTIATE_TEST_SUITE_P(Sqlite, RevocationConformance,
                         testing::Values(StoreKind{"Sqlite", [] { return std::make_unique<SqliteHarness>(); }}),
                         StoreKindName);

mode_t ModeOf(const std::string& path) {
  struct stat stat;
  EXPECT_EQ(::stat(path.c_str(), &stat), 0) << path;
  return stat.st_mode & 07777;
}

// What somebody else does to the file, without us.
void Tamper(const std::string& path, const std::string& sql) {
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &db), SQLITE_OK);
  char* error = nullptr;
  EXPECT_EQ(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, &error), SQLITE_OK) << error;
  sqlite3_close(db);
}

void Overwrite(const std::string& path, std::streamoff offset, const std::string& bytes) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  ASSERT_TRUE(file.seekp(offset).write(bytes.data(), static_cast<std::streamsize>(bytes.size())));
}

void MakeFile(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
  ASSERT_EQ(chmod(path.c_str(), 0600), 0);
}

absl::Status OpenStatus(SqliteHarness& harness) { return OpenSqliteStore(harness.options()).status(); }

// ---- folder and files ----

TEST(SqliteStore, FilesAreForTheOwnerAlone) {
  SqliteHarness harness(false);
  harness.options().path = harness.folder() / "state/meshca.db";
  const mode_t old = umask(0);
  ASSERT_TRUE(harness.Reopen());
  umask(old);
  Activate(harness.store());
  EXPECT_EQ(ModeOf(harness.folder() / "state"), 0700u);
  for (const char* suffix : {"", "-wal", "-shm", ".lock"}) {
    EXPECT_EQ(ModeOf(harness.path() + suffix), 0600u) << suffix;
  }
}

TEST(SqliteStore, MakesWhatIsMissingAboveItsFolder) {
  TempFolder home;
  SqliteHarness harness(/*open=*/false);
  harness.options().path = home / ".local/state/meshca/meshca.db";
  ASSERT_TRUE(harness.Reopen());
  for (const char* name : {".local", ".local/state", ".local/state/meshca"}) {
    struct stat stat;
    ASSERT_EQ(::stat((home / name).c_str(), &stat), 0) << name;
    EXPECT_EQ(stat.st_mode & 07777, 0700u) << name;
  }
}

TEST(SqliteStore, SaysWhatKeepsItFromMakingItsFolder) {
  TempFolder home;
  std::ofstream(home / "file") << "x";
  const absl::Status status = PrepareFolder(home / "file/state/meshca.db");
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("state directory: make " + (home / "file/state")));
}

// The kubelet opens every file of a volume to `fsGroup` each time it mounts it.
TEST(SqliteStore, SetsBackWhatIsItsOwnAndOpenToOthers) {
  SqliteHarness harness;
  harness.Close();
  ASSERT_EQ(chmod(harness.folder().path().c_str(), 02770), 0);
  ASSERT_EQ(chmod(harness.path().c_str(), 0660), 0);
  EXPECT_THAT(OpenStatus(harness), IsOk());
  EXPECT_EQ(ModeOf(harness.folder().path()), 0700u);
  EXPECT_EQ(ModeOf(harness.path()), 0600u);
}

TEST(SqliteStore, AnEmptyFolderIsSetBackAndOneNamedByMistakeKeepsItsMode) {
  TempFolder empty, shared;
  ASSERT_EQ(chmod(empty.path().c_str(), 0755), 0);
  EXPECT_THAT(PrepareFolder(empty / "meshca.db"), IsOk());
  EXPECT_EQ(ModeOf(empty.path()), 0700u);

  std::ofstream(shared / "somebody's") << "x";
  ASSERT_EQ(chmod(shared.path().c_str(), 01777), 0);
  const absl::Status refused = PrepareFolder(shared / "meshca.db");
  EXPECT_THAT(refused, StatusIs(StatusCode::kPermissionDenied,
                                AllOf(HasSubstr("1777"), HasSubstr("chmod 700 " + shared.path()))));
  EXPECT_THAT(refused, HasReason(kStateOpenToOthers));
  EXPECT_EQ(ModeOf(shared.path()), 01777u);
}

// Only root can give a folder away; another user's tests show the words by a folder of root's.
TEST(SqliteStore, RefusesAFolderOfAnotherUserAndSaysWhatToDo) {
  TempFolder home;
  const std::string folder = home / "state";
  ASSERT_EQ(mkdir(folder.c_str(), 0700), 0);
  if (geteuid() == 0) {
    ASSERT_EQ(chown(folder.c_str(), 54'321, 54'321), 0);
    const absl::Status refused = PrepareFolder(folder + "/meshca.db");
    EXPECT_THAT(refused, StatusIs(StatusCode::kPermissionDenied,
                                  AllOf(HasSubstr("belongs to user 54321"), HasSubstr("run meshca as that user"),
                                        HasSubstr("chown -R 0 " + folder))));
    EXPECT_THAT(refused, HasReason(kStateOpenToOthers));
  } else {
    EXPECT_THAT(PrepareFolder("/etc/meshca.db"), StatusIs(StatusCode::kPermissionDenied, HasSubstr("chown")));
  }
}

TEST(SqliteStore, TokensThatEndedAreFoundByAnIndex) {
  SqliteHarness harness;
  harness.Close();
  ConnectionOptions options;
  options.path = harness.path();
  auto database = Database::Open(options);
  ASSERT_THAT(database, IsOk());
  Query rows(**database, "EXPLAIN QUERY PLAN SELECT id FROM token WHERE expires_at < 1 ORDER BY expires_at LIMIT 2");
  ASSERT_TRUE(rows.Next());
  for (int column = 0; column < 3; ++column) rows.Int();
  EXPECT_EQ(rows.String(), "SEARCH token USING INDEX token_expires_at (expires_at<?)");
  EXPECT_FALSE(rows.Next()) << "nothing is sorted";
}

TEST(SqliteStore, RefusesALinkInTheFilesPlace) {
  SqliteHarness harness(false);
  ASSERT_EQ(symlink("/dev/null", harness.path().c_str()), 0);
  EXPECT_THAT(OpenStatus(harness), StatusIs(StatusCode::kFailedPrecondition, HasSubstr("not a regular file")));
}

TEST(SqliteStore, RefusesASecondServer) {
  SqliteHarness harness;
  absl::Status second = OpenStatus(harness);
  EXPECT_THAT(second, StatusIs(StatusCode::kAlreadyExists,
                               AllOf(HasSubstr(absl::StrCat("pid ", getpid())), HasSubstr("--state-dir"))));
  EXPECT_THAT(second, HasReason(kStoreInUse));
  harness.Close();
  EXPECT_THAT(OpenStatus(harness), IsOk());
}

struct FileSystemCase {
  const char* name;
  uint64_t type;
  bool refused;
};
class FileSystemTypes : public testing::TestWithParam<FileSystemCase> {};
TEST_P(FileSystemTypes, OnlyLocalOnes) {
  absl::Status status = CheckFileSystem(GetParam().type, "/state");
  if (GetParam().refused) {
    EXPECT_THAT(status,
                StatusIs(StatusCode::kFailedPrecondition, AllOf(HasSubstr(GetParam().name), HasSubstr("local disk"))));
  } else {
    EXPECT_THAT(status, IsOk());
  }
}
INSTANTIATE_TEST_SUITE_P(
    Statfs, FileSystemTypes,
    testing::Values(FileSystemCase{"NFS", NFS_SUPER_MAGIC, true}, FileSystemCase{"CIFS", 0xff534d42, true},
                    FileSystemCase{"SMB2", 0xfe534d42, true}, FileSystemCase{"FUSE", FUSE_SUPER_MAGIC, true},
                    FileSystemCase{"Ceph", 0x00c36400, true}, FileSystemCase{"Ext4", EXT4_SUPER_MAGIC, false},
                    FileSystemCase{"Tmpfs", TMPFS_MAGIC, false},
                    FileSystemCase{"Overlay", OVERLAYFS_SUPER_MAGIC, false},
                    FileSystemCase{"Xfs", XFS_SUPER_MAGIC, false}),
    [](const auto& info) { return std::string(info.param.name); });

// ---- whose database ----

TEST(SqliteStore, RefusesANewerSchema) {
  SqliteHarness harness;
  harness.Close();
  Tamper(harness.path(), "PRAGMA user_version=99; UPDATE meta SET min_reader = 99");
  EXPECT_THAT(OpenStatus(harness), StatusIs(StatusCode::kFailedPrecondition,
                                            AllOf(HasSubstr("schema version 99"),
                                                  HasSubstr(absl::StrCat("up to ", Migrations().back().version, ":")),
                                                  HasSubstr("meshca db restore"))));
}

TEST(SqliteStore, RefusesAnotherProgramsDatabase) {
  SqliteHarness harness(false);
  MakeFile(harness.path(), "");
  Tamper(harness.path(), "CREATE TABLE bookmarks(url); PRAGMA user_version=1");
  EXPECT_THAT(OpenStatus(harness), StatusIs(StatusCode::kFailedPrecondition, HasSubstr("belongs to another program")));
}

TEST(SqliteStore, RefusesWhatIsNoDatabase) {
  SqliteHarness harness(false);
  MakeFile(harness.path(), std::string(10000, 'x'));
  EXPECT_THAT(OpenStatus(harness), StatusIs(StatusCode::kDataLoss, HasSubstr("meshca db restore FILE")));
}

TEST(SqliteStore, TakesAnEmptyFileForNone) {
  SqliteHarness harness(false);
  MakeFile(harness.path(), "");
  EXPECT_THAT(OpenStatus(harness), IsOk());
}

// ---- migrations ----

TEST(Migrations, AreNumberedWithoutGap) {
  uint32_t wanted = 1;
  for (const Migration& migration : Migrations()) EXPECT_EQ(migration.version, wanted++);
}

TEST(Migrations, BackUpFirstAndRunInOrder) {
  TempFolder folder;
  ConnectionOptions options;
  options.path = folder / "test.db";
  options.query_only = false;
  MakeFile(options.path, "");
  auto database = Database::Open(options);
  ASSERT_THAT(database, IsOk());
  const Migration steps[] = {{1, "CREATE TABLE a(x); INSERT INTO a VALUES(1)"},
                             {2, "UPDATE a SET x = x + 10"},
                             {3, "UPDATE a SET x = x * 2"},
                             {4, "INSERT INTO missing VALUES(1)"}};
  std::vector<uint32_t> backups;
  auto backup = [&](uint32_t found) {
    backups.push_back(found);
    return absl::OkStatus();
  };
  ASSERT_THAT(BringUpToDate(**database, {steps, 1}, backup), IsOk());
  EXPECT_THAT(backups, IsEmpty()) << "an empty database needs none";
  ASSERT_THAT(BringUpToDate(**database, {steps, 3}, backup), IsOk());
  EXPECT_THAT(backups, testing::ElementsAre(1));
  EXPECT_EQ(*(*database)->Int("SELECT x FROM a"), 22);
  ASSERT_THAT(BringUpToDate(**database, {steps, 3}, backup), IsOk());
  EXPECT_THAT(backups, SizeIs(1)) << "nothing to do";
  EXPECT_FALSE(BringUpToDate(**database, steps, backup).ok());
  EXPECT_EQ(*(*database)->Int("PRAGMA user_version"), 3) << "a step that fails leaves the one before it";
  EXPECT_THAT(BringUpToDate(**database, {steps, 2}, backup), StatusIs(StatusCode::kFailedPrecondition));

  auto refuse = [](uint32_t) { return absl::UnavailableError("no room for a backup"); };
  const Migration more[] = {steps[0], steps[1], steps[2], {4, "DROP TABLE a"}};
  EXPECT_THAT(BringUpToDate(**database, more, refuse), StatusIs(StatusCode::kUnavailable, HasSubstr("no room")));
  EXPECT_EQ(*(*database)->Int("PRAGMA user_version"), 3);
}

// ---- forged and damaged rows ----

struct ForgeryCase {
  const char* name;
  const char* sql;
  absl::Status (*read)(Store&);
};
class Forgery : public testing::TestWithParam<ForgeryCase> {};

// One that has ended, one that runs.
void AddRotations(Store& store) {
  AuthorityChange change;
  change.trust_domain = "cluster.local";
  change.audit = {TestAudit("root.rotate")};
  for (const RootRotation& rotation : {TestRotation(1, RotationStep::kDone), TestRotation(2)}) {
    change.expected_revision = store.LoadAuthorities()->revision;
    change.rotation = rotation;
    ASSERT_THAT(store.CommitAuthorities(change), IsOk());
  }
}

// And an authority that was exported.
void AddJwtKeys(Store& store) {
  AuthorityChange change;
  change.trust_domain = "cluster.local";
  change.audit = {TestAudit("jwt.publish")};
  change.authorities = {TestAuthority("exported", AuthorityState::kOld)};
  change.authorities[0].exported = true;
  change.expected_revision = store.LoadAuthorities()->revision;
  change.jwt_authorities = {TestJwtAuthority("kid", AuthorityState::kRetired)};
  change.bundle = TestBundle(2);
  change.bundle->jwt_keys_der = {"key"};
  ASSERT_THAT(store.CommitAuthorities(change), IsOk());
}

TEST_P(Forgery, IsDataLoss) {
  SqliteHarness harness;
  Activate(harness.store());
  AddJwtKeys(harness.store());
  AddRotations(harness.store());
  ASSERT_THAT(harness.store().CreateToken(TestToken("t1"), TestAudit()), IsOk());
  ASSERT_THAT(harness.store().PutEntry(TestEntry("e1"), TestAudit()), IsOk());
  harness.Close();
  Tamper(harness.path(), GetParam().sql);
  ASSERT_TRUE(harness.Reopen());
  absl::Status read = GetParam().read(harness.store());
  EXPECT_THAT(read, StatusIs(StatusCode::kDataLoss, HasSubstr("meshca db restore FILE")));
  EXPECT_THAT(read, HasReason("ROW_MAC_MISMATCH"));
  EXPECT_THAT(harness.store().Check(), StatusIs(StatusCode::kDataLoss, HasSubstr("MAC")));
}

absl::Status ReadAuthorities(Store& store) { return store.LoadAuthorities().status(); }
absl::Status ReadTokens(Store& store) { return store.ListTokens().status(); }
absl::Status ReadEntries(Store& store) { return store.ListEntries().status(); }
absl::Status RedeemToken(Store& store) {
  RecordMaker maker;
  IssuanceRecord record = maker.Make();
  record.token_id = "t1";
  return AppendAndWait(store, record);
}

INSTANTIATE_TEST_SUITE_P(
    RowMacs, Forgery,
    testing::Values(
        ForgeryCase{"AuthorityInserted",
                    "INSERT INTO authority SELECT 99, 'evil', role, state, tainted, root_id, chain, key_reference,"
                    " sealed_key, created_at, activated_at, retired_at, mac, exported FROM authority LIMIT 1",
                    ReadAuthorities},
        ForgeryCase{"AuthorityRevived", "UPDATE authority SET state = 1", ReadAuthorities},
        ForgeryCase{"ExportForgotten", "UPDATE authority SET exported = 0 WHERE exported", ReadAuthorities},
        ForgeryCase{"ExportInvented", "UPDATE authority SET exported = 1", ReadAuthorities},
        ForgeryCase{"TaintRemoved", "UPDATE authority SET tainted = 1 - tainted", ReadAuthorities},
        ForgeryCase{"RootAdded",
                    "INSERT INTO bundle SELECT sequence + 1, roots, published_at, mac FROM bundle WHERE sequence = 2",
                    ReadAuthorities},
        ForgeryCase{"JwtKeyInserted",
                    "INSERT INTO jwt_authority SELECT 99, 'evil', state, tainted, public_key, key_reference,"
                    " sealed_key, published_sequence, created_at, activated_at, replaced_at, retired_at, mac"
                    " FROM jwt_authority LIMIT 1",
                    ReadAuthorities},
        ForgeryCase{"JwtKeyRevived", "UPDATE jwt_authority SET state = 2", ReadAuthorities},
        ForgeryCase{"JwtTaintRemoved", "UPDATE jwt_authority SET tainted = 1 - tainted", ReadAuthorities},
        ForgeryCase{"JwtKeyPublishedSooner", "UPDATE jwt_authority SET published_sequence = 1", ReadAuthorities},
        ForgeryCase{"JwtKeyExchanged", "UPDATE jwt_authority SET public_key = X'00'", ReadAuthorities},
        ForgeryCase{"JwtKeyTrusted", "UPDATE bundle_jwt_keys SET keys = X'0000000000000000'", ReadAuthorities},
        ForgeryCase{"RotationMovedOn", "UPDATE rotation SET step = 5 WHERE number = 2", ReadAuthorities},
        ForgeryCase{"RotationMadeAnEmergency", "UPDATE rotation SET emergency = 1 - emergency", ReadAuthorities},
        ForgeryCase{"RotationAcknowledgedSooner", "UPDATE rotation SET bundle_sequence = 1", ReadAuthorities},
        ForgeryCase{"RotationInserted",
                    "INSERT INTO rotation SELECT 3, 6, old_root_id, new_root_id, automatic, emergency, rolled_back,"
                    " external_confirmed, deadline, actor, started_at, step_at, bundle_sequence, published_at,"
                    " retire_sequence, forced, mac FROM rotation WHERE number = 1",
                    ReadAuthorities},
        ForgeryCase{"TokenForAnotherId", "UPDATE token SET spiffe_id = 'spiffe://cluster.local/admin'", ReadTokens},
        ForgeryCase{"TokenProlonged", "UPDATE token SET expires_at = expires_at + 1000000000", RedeemToken},
        ForgeryCase{"EntryForAnotherId", "UPDATE entry SET spiffe_id = 'spiffe://cluster.local/admin'", ReadEntries},
        ForgeryCase{"EntryWithoutId", "UPDATE entry SET spiffe_id = ''", ReadEntries}),
    [](const auto& info) { return std::string(info.param.name); });

// A later version's MAC covers what this one does not know of, so it can neither be checked nor be called forged.
TEST(RowMacs, OfANewerVersionAreRefusedAsSuchAndNeverBelieved) {
  SqliteHarness harness;
  Activate(harness.store());
  ASSERT_THAT(harness.store().PutEntry(TestEntry("e1"), TestAudit()), IsOk());
  harness.Close();
  Tamper(harness.path(), "UPDATE entry SET mac = CAST(X'02' || zeroblob(32) AS BLOB)");
  ASSERT_TRUE(harness.Reopen());
  EXPECT_THAT(ReadEntries(harness.store()), StatusIs(StatusCode::kFailedPrecondition, HasSubstr("newer meshca")));
  EXPECT_THAT(ReadEntries(harness.store()), HasReason("ROW_MAC_NEWER"));
}

// Bans of earlier versions deleted the tokens of the node's agent alone.
TEST(SqliteStore, RedeemsNoTokenThatABanHasLeft) {
  SqliteHarness harness;
  Activate(harness.store());
  RecordMaker maker;
  JoinToken of_agent = TestToken("t1");
  of_agent.node = "web-1";
  of_agent.spiffe_id = *SpiffeId::Parse("spiffe://cluster.local/meshca/agent/web-1");
  JoinToken of_workload = TestToken("t2");
  of_workload.node = "web-1";
  for (const JoinToken& token : {of_agent, of_workload}) {
    ASSERT_THAT(harness.store().CreateToken(token, TestAudit()), IsOk());
  }
  const auto redeem = [&](const JoinToken& token) {
    IssuanceRecord record = maker.Make(token.spiffe_id.uri());
    record.method = AuthMethod::kJoinToken;
    record.token_id = token.id;
    record.origin = {OriginKind::kJoinToken, token.id};
    return AppendAndWait(harness.store(), record);
  };
  ASSERT_THAT(redeem(of_agent), IsOk());
  harness.Close();
  Tamper(harness.path(), "CREATE TABLE spare AS SELECT * FROM token WHERE id = 't2'");
  ASSERT_TRUE(harness.Reopen());
  ASSERT_THAT(harness.store().BanNode("web-1", "", TestAudit()), IsOk());
  harness.Close();
  Tamper(harness.path(), "INSERT INTO token SELECT * FROM spare; DROP TABLE spare");
  ASSERT_TRUE(harness.Reopen());
  const absl::Status refused = redeem(of_workload);
  EXPECT_THAT(refused, StatusIs(StatusCode::kPermissionDenied, HasSubstr("node web-1: banned since")));
  EXPECT_THAT(refused, HasReason(kNodeBanned));
}

struct DamageCase {
  const char* name;
  const char* sql;
  const char* text;
};
class Damage : public testing::TestWithParam<DamageCase> {};

TEST_P(Damage, IsFoundByCheck) {
  SqliteHarness harness;
  Activate(harness.store());
  AddRotations(harness.store());
  RecordMaker maker;
  for (int i = 0; i < 5; ++i) ASSERT_THAT(AppendAndWait(harness.store(), maker.Make()), IsOk());
  ASSERT_THAT(harness.store().CreateToken(TestToken("t1"), TestAudit()), IsOk());
  ASSERT_THAT(harness.store().Check(), IsOk());
  harness.Close();
  Tamper(harness.path(), GetParam().sql);
  ASSERT_TRUE(harness.Reopen());
  EXPECT_THAT(harness.store().Check(),
              StatusIs(StatusCode::kDataLoss, AllOf(HasSubstr(GetParam().text), HasSubstr("meshca db restore FILE"))));
}

INSTANTIATE_TEST_SUITE_P(
    Check, Damage,
    testing::Values(DamageCase{"AuditEdited", "UPDATE audit SET actor = 'nobody' WHERE sequence = 1", "audit log"},
                    DamageCase{"AuditLineRemoved", "DELETE FROM audit WHERE sequence = 1", "audit log"},
                    DamageCase{"IssuanceRemoved", "DELETE FROM issuance WHERE ref = 3", "counters"},
                    DamageCase{"CounterChanged", "UPDATE expiry SET count = count + 1", "counters"},
                    DamageCase{"EndedRotationEdited", "UPDATE rotation SET forced = '' WHERE number = 1", "rotation 1"},
                    DamageCase{"NameRemoved", "DELETE FROM spiffe_id", "name that is not there"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(SqliteStore, AnotherKeyEncryptionKeyIsNoticed) {
  SqliteHarness harness;
  Activate(harness.store());
  harness.Close();
  auto other = KeyEncryption::FromKey(SecretBytes(std::string(32, 'o')));
  ASSERT_THAT(other, IsOk());
  harness.options().keys = &*other;
  ASSERT_TRUE(harness.Reopen());
  EXPECT_THAT(harness.store().LoadAuthorities(), StatusIs(StatusCode::kDataLoss, HasSubstr("key-encryption key")));
  harness.Close();
}

int64_t RootPageOf(const std::string& path, const std::string& table) {
  ConnectionOptions options;
  options.path = path;
  auto database = Database::Open(options);
  EXPECT_THAT(database, IsOk());
  return *(*database)->Int("SELECT rootpage FROM sqlite_master WHERE name = '" + table + "'");
}

TEST(SqliteStore, DamagedSchemaIsRefusedAtStart) {
  SqliteHarness harness;
  Activate(harness.store());
  harness.Close();
  Overwrite(harness.path(), 100, std::string(64, 'x'));
  EXPECT_THAT(OpenStatus(harness), StatusIs(StatusCode::kDataLoss, HasSubstr("meshca db restore FILE")));
}

TEST(SqliteStore, DamagedPagesAreDataLossAndWritesUnavailable) {
  SqliteHarness harness;
  Activate(harness.store());
  RecordMaker maker;
  for (int i = 0; i < 300; ++i) harness.store().Append(maker.Make(), [](absl::Status) {});
  ASSERT_THAT(harness.store().Probe(), IsOk());
  harness.Close();
  Overwrite(harness.path(), (RootPageOf(harness.path(), "issuance_serial") - 1) * 4096, std::string(64, 'x'));
  ASSERT_TRUE(harness.Reopen());
  EXPECT_THAT(harness.store().Check(), StatusIs(StatusCode::kDataLoss, HasSubstr("meshca db restore FILE")));
  absl::Status append = absl::OkStatus();
  for (int i = 0; i < 20 && append.ok(); ++i) append = AppendAndWait(harness.store(), maker.Make());
  EXPECT_THAT(append, StatusIs(StatusCode::kUnavailable, HasSubstr("meshca db restore FILE")));
  EXPECT_THAT(harness.store().Health().writable, StatusIs(StatusCode::kDataLoss));
}

// ---- readers beside the writer ----

TEST(SqliteStore, AReaderSeesOneCommitWhileWritingGoesOn) {
  SqliteHarness harness;
  harness.Close();
  harness.options().limits.checkpoint_pages = 4;
  ASSERT_TRUE(harness.Reopen());
  Store& store = harness.store();
  Activate(store);
  RecordMaker maker;
  for (int i = 0; i < 10; ++i) ASSERT_THAT(AppendAndWait(store, maker.Make()), IsOk());
  int seen = 0;
  ASSERT_THAT(store.List({},
                         [&](const IssuanceRecord&) {
                           EXPECT_THAT(AppendAndWait(store, maker.Make()), IsOk());
                           return ++seen < 1000;
                         }),
              IsOk());
  EXPECT_EQ(seen, 10);
  EXPECT_EQ(*store.CountIssuances(), 20u);
}

TEST(SqliteStore, JobsOfOneBatchSeeWhatThoseBeforeThemDid) {
  SqliteHarness harness;
  Store& store = harness.store();
  const uint64_t revision = Activate(store);
  RecordMaker maker;
  auto change = [&](uint64_t expected) {
    AuthorityChange made;
    made.expected_revision = expected;
    made.trust_domain = "cluster.local";
    made.audit = {TestAudit()};
    return made;
  };
  // While the writer is held in an answer, what arrives becomes one batch.
  std::promise<void> held, go;
  store.Append(maker.Make("spiffe://cluster.local/x", kIssuingB), [&](absl::Status) {
    held.set_value();
    go.get_future().wait();
  });
  held.get_future().wait();
  auto wait_for = [&](uint64_t queued) {
    while (store.Health().queued < queued) std::this_thread::yield();
  };
  std::promise<absl::Status> before, after;
  store.Append(maker.Make(), [&](absl::Status status) { before.set_value(std::move(status)); });
  auto grown_old = std::async(std::launch::async, [&] {
    AuthorityChange old = change(revision);
    old.authorities = {TestAuthority(kIssuingA, AuthorityState::kOld)};
    return store.CommitAuthorities(old).status();
  });
  wait_for(2);
  store.Append(maker.Make(), [&](absl::Status status) { after.set_value(std::move(status)); });
  auto forgotten = std::async(std::launch::async, [&] {
    AuthorityChange forget = change(revision + 1);
    forget.forgotten_authorities = {kIssuingA};
    return store.CommitAuthorities(forget).status();
  });
  wait_for(4);
  go.set_value();
  EXPECT_THAT(before.get_future().get(), IsOk());
  EXPECT_THAT(grown_old.get(), IsOk());
  EXPECT_THAT(after.get_future().get(), StatusIs(StatusCode::kAborted)) << "it signs no more";
  EXPECT_THAT(forgotten.get(), StatusIs(StatusCode::kFailedPrecondition)) << "it signed the first";
  EXPECT_THAT(*store.CountLiveLeaves(kTestNow),
              testing::UnorderedElementsAre(testing::Pair(kIssuingA, 1), testing::Pair(kIssuingB, 1)));
  EXPECT_THAT(store.Check(), IsOk());
}

TEST(SqliteStore, AnEntryDeletedBetweenTwoCertificatesOfABatchGivesTheSecondNone) {
  SqliteHarness harness;
  Store& store = harness.store();
  Activate(store);
  ASSERT_THAT(store.CreateEntry(TestEntry("e1"), TestAudit()), IsOk());
  RecordMaker maker;
  // While the writer is held in an answer, what arrives becomes one batch.
  std::promise<void> held, go;
  store.Append(maker.Make(), [&](absl::Status) {
    held.set_value();
    go.get_future().wait();
  });
  held.get_future().wait();
  auto wait_for = [&](uint64_t queued) {
    while (store.Health().queued < queued) std::this_thread::yield();
  };
  std::promise<absl::Status> answers[4];
  auto append = [&](std::promise<absl::Status>& answer) {
    IssuanceRecord record = maker.Make();
    record.origin = {OriginKind::kEntry, "e1"};
    store.Append(std::move(record), [&answer](absl::Status status) { answer.set_value(std::move(status)); });
  };
  append(answers[0]);
  append(answers[1]);
  auto deleted = std::async(std::launch::async, [&] { return store.DeleteEntry("e1", TestAudit()); });
  wait_for(3);
  append(answers[2]);
  append(answers[3]);
  go.set_value();
  EXPECT_THAT(deleted.get(), IsOk());
  for (std::promise<absl::Status>& answer : answers) {
    const bool before = &answer < &answers[2];
    EXPECT_EQ(ReasonOf(answer.get_future().get()), before ? "" : kEntryGone) << &answer - answers;
  }
  EXPECT_EQ(*store.CountIssuances(), 3u);
}

// ---- leaves that nothing replaced ----

TEST(UnreplacedLeaves, PlanReadsNoTableTwiceForOneLeaf) {
  SqliteHarness harness;
  harness.Close();
  ConnectionOptions options;
  options.path = harness.path();
  auto database = Database::Open(options);
  ASSERT_THAT(database, IsOk());
  const std::string explain = absl::StrCat("EXPLAIN QUERY PLAN ", UnreplacedLeavesSql());
  std::vector<std::string> plan;
  Query rows(**database, explain.c_str());
  while (rows.Next()) {
    for (int column = 0; column < 3; ++column) rows.Int();
    plan.push_back(rows.String());
  }
  ASSERT_THAT(rows.status(), IsOk());
  const std::string live = " USING INDEX issuance_not_after (not_after>?)";
  // Three lists, filled once each because they depend on nothing outside ("CORRELATED" would be said), and lookups by
  // key. A SCAN for each leaf would make the whole quadratic.
  const std::string by_key = " USING INTEGER PRIMARY KEY (rowid=?)";
  EXPECT_THAT(plan, testing::ElementsAre("SEARCH i" + live, "LIST SUBQUERY 2", "SCAN issuance", "LIST SUBQUERY 3",
                                         "SEARCH r" + live, "SEARCH a" + by_key, "LIST SUBQUERY 4", "SCAN k",
                                         "SEARCH x" + by_key, "SEARCH a" + by_key, "SEARCH s" + by_key,
                                         "SEARCH c" + by_key, "SEARCH o" + by_key + " LEFT-JOIN"));
}

// ---- backup and restore ----

class Restored : public testing::Test {
 protected:
  Restored() : backup_(backup_folder_ / "backup.db") {
    Activate(harness_.store());
    for (int i = 0; i < 10; ++i) {
      before_.push_back(maker_.Make());
      EXPECT_THAT(AppendAndWait(harness_.store(), before_.back()), IsOk());
    }
    EXPECT_THAT(harness_.store().CreateToken(TestToken("t1"), TestAudit()), IsOk());
    EXPECT_THAT(harness_.store().Backup(backup_, TestAudit("db.backup")), IsOk());
    after_ = maker_.Make();
    EXPECT_THAT(AppendAndWait(harness_.store(), after_), IsOk());
  }
  absl::Status Restore() { return RestoreSqlite(backup_, harness_.options(), TestAudit("db.restore")); }

  SqliteHarness harness_;
  TempFolder backup_folder_;
  const std::string backup_;
  RecordMaker maker_;
  std::vector<IssuanceRecord> before_;
  IssuanceRecord after_;
};

TEST_F(Restored, BackupIsOnePrivateFile) {
  EXPECT_EQ(ModeOf(backup_), 0600u);
  EXPECT_THAT(harness_.store().Backup(backup_, TestAudit()), StatusIs(StatusCode::kAlreadyExists, HasSubstr(backup_)));
  EXPECT_THAT(harness_.store().Backup("/nowhere/at/all.db", TestAudit()), StatusIs(StatusCode::kNotFound));
  std::vector<std::string> files;
  for (const auto& file : std::filesystem::directory_iterator(backup_folder_.path())) {
    files.push_back(file.path().filename());
  }
  EXPECT_THAT(files, testing::ElementsAre("backup.db"));
  int backups_noted = 0;
  ASSERT_THAT(harness_.store().ListAudit([&](const AuditEntry& entry) {
    backups_noted += entry.action == "db.backup";
    return true;
  }),
              IsOk());
  EXPECT_EQ(backups_noted, 1);
}

TEST_F(Restored, OpensInStateRecovered) {
  harness_.Close();
  harness_.clock().JumpTo(kTestNow + absl::Hours(5));
  ASSERT_THAT(Restore(), IsOk());
  ASSERT_TRUE(harness_.Reopen());
  Store& store = harness_.store();
  for (const IssuanceRecord& record : before_) ExpectSame(*store.Find(record.serial), record);
  EXPECT_THAT(store.Find(after_.serial), StatusIs(StatusCode::kNotFound));
  EXPECT_EQ(*store.GetSetting(kSettingRecovered), "1");
  EXPECT_THAT(*store.ListTokens(), IsEmpty());
  auto trust = store.LoadAuthorities();
  ASSERT_THAT(trust, IsOk());
  EXPECT_EQ(trust->revision, 2u);
  EXPECT_EQ(trust->bundle->sequence_number, (uint64_t{1} << 32) + 1) << "above Unix time";
  EXPECT_EQ(trust->bundle->roots_der, TestBundle(1).roots_der);
  std::string last;
  ASSERT_THAT(store.ListAudit([&](const AuditEntry& entry) {
    last = entry.action;
    return true;
  }),
              IsOk());
  EXPECT_EQ(last, "db.restore");
  EXPECT_THAT(store.Check(), IsOk());
  EXPECT_THAT(AppendAndWait(store, maker_.Make()), IsOk());
  // What stood there is kept, whole.
  int kept = 0;
  for (const auto& file : std::filesystem::directory_iterator(harness_.folder().path())) {
    kept += file.path().string().find("meshca.db.replaced-") != std::string::npos;
  }
  EXPECT_EQ(kept, 1);
}

struct RotationRestoreCase {
  const char* name;
  RotationStep step;
  uint64_t bundle_sequence;
  uint64_t retire_sequence;
  bool bundle_anew;
  bool retire_anew;
};
class RotationRestored : public testing::TestWithParam<RotationRestoreCase> {};

TEST_P(RotationRestored, GoesOnWithNewEvidence) {
  const RotationRestoreCase& c = GetParam();
  SqliteHarness harness;
  TempFolder folder;
  RootRotation wanted = TestRotation(1, c.step);
  wanted.bundle_sequence = c.bundle_sequence;
  wanted.retire_sequence = c.retire_sequence;
  AuthorityChange change;
  change.expected_revision = Activate(harness.store());
  change.trust_domain = "cluster.local";
  change.rotation = wanted;
  change.audit = {TestAudit()};
  ASSERT_THAT(harness.store().CommitAuthorities(change), IsOk());
  ASSERT_THAT(harness.store().Backup(folder / "backup.db", TestAudit("db.backup")), IsOk());
  harness.Close();
  ASSERT_THAT(RestoreSqlite(folder / "backup.db", harness.options(), TestAudit("db.restore")), IsOk());
  ASSERT_TRUE(harness.Reopen());
  auto trust = harness.store().LoadAuthorities();
  ASSERT_THAT(trust, IsOk());
  ASSERT_TRUE(trust->rotation.has_value());
  if (c.bundle_anew) wanted.bundle_sequence = trust->bundle->sequence_number;
  if (c.retire_anew) wanted.retire_sequence = trust->bundle->sequence_number;
  ExpectSame(*trust->rotation, wanted);
  EXPECT_THAT(harness.store().Check(), IsOk());
}

INSTANTIATE_TEST_SUITE_P(Restore, RotationRestored,
                         testing::Values(RotationRestoreCase{"Prepare", RotationStep::kPrepare, 0, 0, false, false},
                                         RotationRestoreCase{"Distribute", RotationStep::kDistribute, 1, 0, true,
                                                             false},
                                         RotationRestoreCase{"Drain", RotationStep::kDrain, 1, 0, true, false},
                                         RotationRestoreCase{"Retire", RotationStep::kRetire, 1, 2, false, true},
                                         RotationRestoreCase{"Done", RotationStep::kDone, 1, 2, false, false}),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_F(Restored, OntoAnEmptyMachine) {
  harness_.Close();
  harness_.options().path = harness_.folder() / "new/meshca.db";
  ASSERT_THAT(Restore(), IsOk());
  ASSERT_TRUE(harness_.Reopen());
  EXPECT_EQ(*harness_.store().CountIssuances(), 10u);
}

TEST_F(Restored, FinishedAfterAPowerLoss) {
  harness_.Close();
  ASSERT_THAT(Restore(), IsOk());
  // As the machine died after the point of no return: the restored file waits, the old database with its log stands.
  ASSERT_EQ(rename(harness_.path().c_str(), (harness_.path() + ".restoring").c_str()), 0);
  MakeFile(harness_.path(), "old");
  MakeFile(harness_.path() + "-wal", "old log");
  ASSERT_TRUE(harness_.Reopen());
  EXPECT_EQ(*harness_.store().CountIssuances(), 10u);
  EXPECT_THAT(harness_.store().Check(), IsOk());
}

struct BadBackupCase {
  const char* name;
  void (*spoil)(const std::string& path);
  StatusCode code;
  const char* text;
};
class BadBackup : public Restored, public testing::WithParamInterface<BadBackupCase> {};

TEST_P(BadBackup, LeavesTheDatabaseAlone) {
  GetParam().spoil(backup_);
  EXPECT_THAT(Restore(), testing::Not(IsOk())) << "the server runs";
  harness_.Close();
  EXPECT_THAT(Restore(), StatusIs(GetParam().code, HasSubstr(GetParam().text)));
  ASSERT_TRUE(harness_.Reopen());
  ExpectSame(*harness_.store().Find(after_.serial), after_);
  EXPECT_THAT(harness_.store().GetSetting(kSettingRecovered), StatusIs(StatusCode::kNotFound));
}

INSTANTIATE_TEST_SUITE_P(
    Restore, BadBackup,
    testing::Values(BadBackupCase{"Missing", [](const std::string& path) { unlink(path.c_str()); },
                                  StatusCode::kNotFound, "backup.db"},
                    BadBackupCase{"Empty", [](const std::string& path) { MakeFile(path, ""); },
                                  StatusCode::kInvalidArgument, "empty"},
                    BadBackupCase{"Garbage", [](const std::string& path) { MakeFile(path, std::string(8192, 'x')); },
                                  StatusCode::kDataLoss, "not a database"},
                    BadBackupCase{"RawCopyWithLog", [](const std::string& path) { MakeFile(path + "-wal", "log"); },
                                  StatusCode::kInvalidArgument, "meshca db backup"},
                    BadBackupCase{"Newer",
                                  [](const std::string& path) {
                                    Tamper(path, "PRAGMA user_version=99; UPDATE meta SET min_reader = 99");
                                  },
                                  StatusCode::kFailedPrecondition, "schema version 99"},
                    BadBackupCase{"Forged",
                                  [](const std::string& path) { Tamper(path, "UPDATE authority SET state = 3"); },
                                  StatusCode::kDataLoss, "MAC"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST_F(Restored, RefusedWhileAServerRuns) {
  absl::Status status = Restore();
  EXPECT_THAT(status, StatusIs(StatusCode::kAlreadyExists, HasSubstr("another meshca has it open")));
  EXPECT_THAT(status, HasReason(kStoreInUse));
}

}  // namespace
}  // namespace meshca::storage
