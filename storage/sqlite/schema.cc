#include "storage/sqlite/schema.h"

#include "absl/strings/str_cat.h"
#include "ca/base/check.h"
#include "ca/base/status.h"

namespace meshca::storage {
namespace {

// "mCA1": PRAGMA application_id, by which `file` and we know a database of ours.
constexpr int64_t kApplicationId = 0x6d434131;

// Times are microseconds since 1970, but for issuance's dates: seconds, as certificates have them. Lists are
// CanonicalBytes. `mac` is KeyEncryption::RowMac over the row's other columns. Issuances refer to SPIFFE IDs, callers
// and authorities by number, their serials grow with time, and there is no index on a random key: at millions of rows
// that, and not the bytes, is what a row costs. WITHOUT ROWID would cost more, so only small tables have it.
constexpr char kVersion1[] = R"sql(
CREATE TABLE meta(
  one INTEGER PRIMARY KEY CHECK(one = 1),
  trust_domain TEXT NOT NULL,
  revision INTEGER NOT NULL,  -- of authorities and bundle
  batch INTEGER NOT NULL      -- moves with each transaction that holds no issuance
) STRICT;
INSERT INTO meta VALUES(1, '', 0, 0);

CREATE TABLE setting(name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE authority(
  ref INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  role INTEGER NOT NULL,
  state INTEGER NOT NULL,
  tainted INTEGER NOT NULL,
  root_id TEXT NOT NULL,
  chain BLOB NOT NULL,
  key_reference TEXT NOT NULL,
  sealed_key BLOB NOT NULL,
  created_at INTEGER NOT NULL,
  activated_at INTEGER NOT NULL,
  retired_at INTEGER NOT NULL,
  mac BLOB NOT NULL
) STRICT;

CREATE TABLE bundle(
  sequence INTEGER PRIMARY KEY,
  roots BLOB NOT NULL,
  published_at INTEGER NOT NULL,
  mac BLOB NOT NULL
) STRICT;

CREATE TABLE spiffe_id(ref INTEGER PRIMARY KEY, uri TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE caller(ref INTEGER PRIMARY KEY, method INTEGER NOT NULL, subject TEXT NOT NULL, UNIQUE(subject, method)) STRICT;

CREATE TABLE issuance(
  ref INTEGER PRIMARY KEY,
  serial BLOB NOT NULL,
  spiffe_id INTEGER NOT NULL,
  authority INTEGER NOT NULL,
  caller INTEGER NOT NULL,
  not_before INTEGER NOT NULL,
  not_after INTEGER NOT NULL,
  issued_at INTEGER NOT NULL,
  key_sha256 BLOB NOT NULL,
  certificate_sha256 BLOB NOT NULL,
  instance TEXT,
  node TEXT,
  parent ANY,  -- serial number of the certificate renewed: its bytes
  token TEXT
) STRICT;
CREATE UNIQUE INDEX issuance_serial ON issuance(serial);
CREATE INDEX issuance_not_after ON issuance(not_after);

-- How many issuances end in which minute: live leaves are counted from here.
CREATE TABLE expiry(
  minute INTEGER NOT NULL,
  authority INTEGER NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY(minute, authority)
) STRICT, WITHOUT ROWID;

CREATE TABLE subscriber(
  instance TEXT PRIMARY KEY,
  spiffe_id TEXT NOT NULL,
  node TEXT NOT NULL,
  kind TEXT NOT NULL,
  peer TEXT NOT NULL,
  connected INTEGER NOT NULL,
  first_seen INTEGER NOT NULL,
  last_seen INTEGER NOT NULL,
  bundle_sequence INTEGER NOT NULL,
  serial TEXT NOT NULL,
  version_info TEXT NOT NULL,
  acknowledged_at INTEGER NOT NULL,
  certificate_expires INTEGER NOT NULL,
  rejected TEXT NOT NULL
) STRICT;

CREATE TABLE token(
  id TEXT PRIMARY KEY,
  secret_sha256 BLOB NOT NULL UNIQUE,
  spiffe_id TEXT NOT NULL,
  node TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  created_by TEXT NOT NULL,
  used_key_sha256 BLOB NOT NULL,
  used_at INTEGER NOT NULL,
  mac BLOB NOT NULL
) STRICT;

CREATE TABLE entry(
  id TEXT PRIMARY KEY,
  spiffe_id TEXT NOT NULL,
  selectors BLOB NOT NULL,
  ttl INTEGER NOT NULL,
  dns_names BLOB NOT NULL,
  created_at INTEGER NOT NULL,
  created_by TEXT NOT NULL,
  mac BLOB NOT NULL,
  UNIQUE(spiffe_id, selectors)
) STRICT;

CREATE TABLE audit(
  sequence INTEGER PRIMARY KEY,
  time INTEGER NOT NULL,
  actor TEXT NOT NULL,
  action TEXT NOT NULL,
  target TEXT NOT NULL,
  detail TEXT NOT NULL,
  hash BLOB NOT NULL
) STRICT;

CREATE TABLE revocation(
  serial BLOB PRIMARY KEY,
  not_after INTEGER NOT NULL,
  revoked_at INTEGER NOT NULL,
  reason INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE blocked_key(
  key_sha256 BLOB PRIMARY KEY,
  blocked_at INTEGER NOT NULL,
  reason TEXT NOT NULL
) STRICT, WITHOUT ROWID;
)sql";

// Root rotation. A subscriber of before may take anything, so it counts as one that takes both; whose leaf it holds is
// filled in when it is next heard of.
constexpr char kVersion2[] = R"sql(
CREATE TABLE rotation(
  number INTEGER PRIMARY KEY,
  step INTEGER NOT NULL,
  old_root_id TEXT NOT NULL,
  new_root_id TEXT NOT NULL,
  automatic INTEGER NOT NULL,
  emergency INTEGER NOT NULL,
  rolled_back INTEGER NOT NULL,
  external_confirmed INTEGER NOT NULL,
  deadline INTEGER NOT NULL,
  actor TEXT NOT NULL,
  started_at INTEGER NOT NULL,
  step_at INTEGER NOT NULL,
  bundle_sequence INTEGER NOT NULL,
  published_at INTEGER NOT NULL,
  retire_sequence INTEGER NOT NULL,
  forced TEXT NOT NULL,
  mac BLOB NOT NULL
) STRICT;
-- One rotation at a time: the key is 1 in each row that has not ended (6 is `done`).
CREATE UNIQUE INDEX rotation_running ON rotation((step <> 6)) WHERE step <> 6;

ALTER TABLE subscriber ADD COLUMN authority_id TEXT NOT NULL DEFAULT '';
ALTER TABLE subscriber ADD COLUMN takes_bundle INTEGER NOT NULL DEFAULT 1;
ALTER TABLE subscriber ADD COLUMN takes_key INTEGER NOT NULL DEFAULT 1;
ALTER TABLE subscriber ADD COLUMN evicted_at INTEGER NOT NULL DEFAULT 9223372036854775807;  -- never
)sql";

// The memory of identity: what gave each certificate its right, the line of its renewals, what is revoked. An issuance
// of before has neither origin nor line; its renewal looks for both and writes them down.
//
// A revocation of millions is written in parts. Its rows count once its operation is `done`, all at once. So is an
// apply of many registration entries: `since` names the apply that brings a row, `until` the one that takes it away (0:
// none), and `live_entry` has the rows that count. Rows of an apply that is done are settled in small steps.
constexpr char kVersion3[] = R"sql(
-- The oldest schema number whose programs can read and write this database. A migration after which they cannot (a
-- column that must not stay at its default, a new meaning) raises it; one that adds columns with defaults does not.
ALTER TABLE meta ADD COLUMN min_reader INTEGER NOT NULL DEFAULT 3;

ALTER TABLE setting ADD COLUMN mac BLOB;  -- of those that grant trust

CREATE TABLE origin(ref INTEGER PRIMARY KEY, kind INTEGER NOT NULL, reference TEXT NOT NULL, UNIQUE(reference, kind)) STRICT;
ALTER TABLE issuance ADD COLUMN origin INTEGER;
ALTER TABLE issuance ADD COLUMN line BLOB;  -- serial number of the first certificate of its renewals; NULL: its own

DROP TABLE revocation;  -- never used
DROP TABLE blocked_key;
CREATE TABLE revocation_operation(
  ref INTEGER PRIMARY KEY,
  revoked_at INTEGER NOT NULL,
  reason INTEGER NOT NULL,
  done INTEGER NOT NULL
) STRICT;
CREATE TABLE revoked_certificate(
  serial BLOB PRIMARY KEY,
  not_after INTEGER NOT NULL,
  operation INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE revoked_line(
  line BLOB PRIMARY KEY,
  not_after INTEGER NOT NULL,  -- no certificate of the line lives longer
  operation INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE revoked_key(
  key_sha256 BLOB PRIMARY KEY,
  not_after INTEGER NOT NULL,  -- no certificate with the key lives longer
  operation INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX revoked_certificate_not_after ON revoked_certificate(not_after);
CREATE INDEX revoked_line_not_after ON revoked_line(not_after);
CREATE INDEX revoked_key_not_after ON revoked_key(not_after);

CREATE TABLE entry_apply(
  ref INTEGER PRIMARY KEY,
  done INTEGER NOT NULL,
  actor TEXT NOT NULL,
  applied_at INTEGER NOT NULL
) STRICT;
CREATE TABLE entry_in_parts(
  ref INTEGER PRIMARY KEY,
  id TEXT NOT NULL,
  spiffe_id TEXT NOT NULL,
  selectors BLOB NOT NULL,
  ttl INTEGER NOT NULL,
  dns_names BLOB NOT NULL,
  created_at INTEGER NOT NULL,
  created_by TEXT NOT NULL,
  mac BLOB NOT NULL,
  since INTEGER NOT NULL DEFAULT 0,
  until INTEGER NOT NULL DEFAULT 0,
  place INTEGER NOT NULL DEFAULT 0,      -- of its apply: the number in the order given
  id_made INTEGER NOT NULL DEFAULT 0,    -- of its apply: the id was made from the rights
  unchanged INTEGER NOT NULL DEFAULT 0   -- of its apply: an equal row lives already
) STRICT;
INSERT INTO entry_in_parts(id, spiffe_id, selectors, ttl, dns_names, created_at, created_by, mac)
  SELECT id, spiffe_id, selectors, ttl, dns_names, created_at, created_by, mac FROM entry;
DROP TABLE entry;
ALTER TABLE entry_in_parts RENAME TO entry;
CREATE UNIQUE INDEX entry_id ON entry(id, since, until);
CREATE UNIQUE INDEX entry_rights ON entry(spiffe_id, selectors, since, until);
CREATE INDEX entry_since ON entry(since, place) WHERE since <> 0;
CREATE INDEX entry_until ON entry(until) WHERE until <> 0;
CREATE VIEW live_entry AS SELECT * FROM entry WHERE
  (since = 0 OR (unchanged = 0 AND EXISTS(SELECT 1 FROM entry_apply WHERE entry_apply.ref = since AND done = 1)))
  AND (until = 0 OR NOT EXISTS(SELECT 1 FROM entry_apply WHERE entry_apply.ref = until AND done = 1));
)sql";

// For pruning those that ended.
constexpr char kVersion4[] = R"sql(
CREATE INDEX token_expires_at ON token(expires_at);
)sql";

// Nodes and their agents. An earlier program would serve an entry for nodes on the CA's own socket, and renew the
// certificates of agents that are banned: it must not open this database. `nodes` is an empty list by default.
constexpr char kVersion5[] = R"sql(
ALTER TABLE entry ADD COLUMN nodes BLOB NOT NULL DEFAULT x'0000000000000000';
ALTER TABLE entry ADD COLUMN hint TEXT NOT NULL DEFAULT '';
ALTER TABLE entry ADD COLUMN jwt_ttl INTEGER NOT NULL DEFAULT 0;
ALTER TABLE entry ADD COLUMN added_mac BLOB NOT NULL DEFAULT x'';  -- over the id and the three above
DROP INDEX entry_rights;
CREATE UNIQUE INDEX entry_rights ON entry(spiffe_id, selectors, nodes, since, until);

ALTER TABLE token ADD COLUMN replace INTEGER NOT NULL DEFAULT 0;
ALTER TABLE token ADD COLUMN added_mac BLOB NOT NULL DEFAULT x'';  -- over the id and `replace`

CREATE TABLE node(
  name TEXT PRIMARY KEY,
  joined_at INTEGER NOT NULL,
  token TEXT NOT NULL,
  line TEXT NOT NULL,  -- serial numbers in hex
  serial TEXT NOT NULL,
  expires_at INTEGER NOT NULL,
  key_sha256 BLOB NOT NULL,
  banned_at INTEGER NOT NULL,
  banned_by TEXT NOT NULL,
  ban_reason TEXT NOT NULL,
  mac BLOB NOT NULL
) STRICT, WITHOUT ROWID;

UPDATE meta SET min_reader = 5;
)sql";

// The keys of JWT-SVIDs. Those of a bundle stand beside it: a release that knows none publishes bundles without them,
// which the next start of this one mends. A subscriber of before cannot have taken any.
constexpr char kVersion6[] = R"sql(
CREATE TABLE jwt_authority(
  ref INTEGER PRIMARY KEY,
  key_id TEXT NOT NULL UNIQUE,
  state INTEGER NOT NULL,
  tainted INTEGER NOT NULL,
  public_key BLOB NOT NULL,
  key_reference TEXT NOT NULL,
  sealed_key BLOB NOT NULL,
  published_sequence INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  activated_at INTEGER NOT NULL,
  replaced_at INTEGER NOT NULL,
  retired_at INTEGER NOT NULL,
  mac BLOB NOT NULL
) STRICT;
CREATE TABLE bundle_jwt_keys(
  sequence INTEGER PRIMARY KEY,
  keys BLOB NOT NULL,
  mac BLOB NOT NULL
) STRICT;
ALTER TABLE subscriber ADD COLUMN takes_jwt_keys INTEGER NOT NULL DEFAULT 0;
)sql";

// By the number of its first certificate a node's machine is told from the one before. An earlier program would leave
// the number of that one in the row, and go by times: it must not open this database.
constexpr char kVersion7[] = R"sql(
ALTER TABLE node ADD COLUMN joined_number INTEGER NOT NULL DEFAULT 0;  -- issuance.ref; 0: see the line
UPDATE meta SET min_reader = 7;
)sql";

// How often an agent's place was taken by another one of its node; displaced_at is absl::InfinitePast by default.
constexpr char kVersion8[] = R"sql(
ALTER TABLE subscriber ADD COLUMN displaced INTEGER NOT NULL DEFAULT 0;
ALTER TABLE subscriber ADD COLUMN displaced_at INTEGER NOT NULL DEFAULT -9223372036854775808;
)sql";

// Whether an authority was made for another CA's key. It is part of the first MAC of a row that says so: a program that
// does not know the column would take such a row for forged, and would not count it in a rotation, so it must not open
// this database. Until now it could be told by the place of the key, which the coming back of the authority changes.
constexpr char kVersion9[] = R"sql(
ALTER TABLE authority ADD COLUMN exported INTEGER NOT NULL DEFAULT 0;
UPDATE meta SET min_reader = 9;
)sql";

constexpr Migration kMigrations[] = {{1, kVersion1}, {2, kVersion2}, {3, kVersion3}, {4, kVersion4}, {5, kVersion5},
                                     {6, kVersion6}, {7, kVersion7}, {8, kVersion8}, {9, kVersion9}};

// The oldest schema number whose programs can use this database; as new as the database itself where it does not say.
absl::StatusOr<int64_t> MinReader(Database& database) {
  MESHCA_ASSIGN_OR_RETURN(const int64_t says,
                          database.Int("SELECT count(*) FROM pragma_table_info('meta') WHERE name = 'min_reader'"));
  return database.Int(says == 0 ? "PRAGMA user_version" : "SELECT min_reader FROM meta");
}

absl::Status Apply(Database& database, const Migration& migration) {
  Transaction transaction(database, Transaction::Kind::kWrite);
  MESHCA_RETURN_IF_ERROR(transaction.status());
  // Part of the transaction: after a power loss the database is at one version or the other, whole.
  MESHCA_RETURN_IF_ERROR(database.Exec(absl::StrCat("PRAGMA application_id=", kApplicationId,
                                                    "; PRAGMA user_version=", migration.version, ";", migration.sql)));
  return transaction.Commit();
}

}  // namespace

std::span<const Migration> Migrations() { return kMigrations; }

absl::StatusOr<uint32_t> SchemaVersion(Database& database, std::span<const Migration> migrations) {
  MESHCA_ASSIGN_OR_RETURN(const int64_t application, database.Int("PRAGMA application_id"));
  MESHCA_ASSIGN_OR_RETURN(const int64_t version, database.Int("PRAGMA user_version"));
  MESHCA_ASSIGN_OR_RETURN(const int64_t objects, database.Int("SELECT count(*) FROM sqlite_master"));
  const int64_t newest = migrations.empty() ? 0 : migrations.back().version;
  // A server killed while it made the file leaves an empty database: as good as none.
  if (objects == 0 && application == 0 && version == 0) return 0;
  if (application != kApplicationId) {
    return absl::FailedPreconditionError(absl::StrCat("database ", database.path(),
                                                      ": belongs to another program (application_id ", application,
                                                      "): choose another --state-dir"));
  }
  if (version <= newest) return static_cast<uint32_t>(version);
  MESHCA_ASSIGN_OR_RETURN(const int64_t min_reader, MinReader(database));
  if (min_reader > newest) {
    return absl::FailedPreconditionError(
        absl::StrCat("database ", database.path(), ": has schema version ", version, ", and this meshca knows up to ",
                     newest, ": run the newer meshca, or restore a backup made by this one (meshca db restore FILE)"));
  }
  return static_cast<uint32_t>(version);
}

absl::Status BringUpToDate(Database& database, std::span<const Migration> migrations,
                           absl::FunctionRef<absl::Status(uint32_t found)> backup) {
  MESHCA_ASSIGN_OR_RETURN(const uint32_t found, SchemaVersion(database, migrations));
  {
    // A file system without shared memory leaves the mode as it was, and says so only in the answer.
    Query wal(database, "PRAGMA journal_mode=WAL");
    if (!wal.Next()) return wal.status();
    if (wal.Bytes() != "wal") {
      return absl::FailedPreconditionError(absl::StrCat("database ", database.path(),
                                                        ": its file system cannot hold a write-ahead log: put "
                                                        "--state-dir on a local disk"));
    }
  }
  uint32_t version = found;
  for (const Migration& migration : migrations) {
    if (migration.version <= version) continue;
    MESHCA_CHECK(migration.version == version + 1);
    if (version == found && found != 0) MESHCA_RETURN_IF_ERROR(backup(found));
    MESHCA_RETURN_IF_ERROR(Apply(database, migration));
    version = migration.version;
  }
  return absl::OkStatus();
}

}  // namespace meshca::storage
