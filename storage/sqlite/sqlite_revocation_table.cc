#include "storage/sqlite/sqlite_revocation_table.h"

#include <utility>

#include "absl/container/flat_hash_set.h"
#include "ca/base/status.h"
#include "ca/identity/origin.h"
#include "ca/spiffe/spiffe_id.h"
#include "ca/x509/serial_number.h"
#include "storage/sqlite/revocation_columns.h"
#include "storage/sqlite/row_times.h"

namespace meshca::storage {
namespace {

// A selection with its names looked up once, so that each row is judged by comparing numbers.
class Selected {
 public:
  static absl::StatusOr<Selected> Of(Database& database, const RevocationSelection& selection) {
    Selected selected(selection);
    if (!selection.serial.empty()) {
      MESHCA_ASSIGN_OR_RETURN(selected.serial_, SerialNumber::FromHex(selection.serial));
    }
    MESHCA_RETURN_IF_ERROR(selected.LookUp(database));
    return selected;
  }

  struct Row {
    absl::string_view serial, node;
    int64_t spiffe_id, authority, origin;
  };
  bool Fits(const Row& row) const {
    if (!selection_->serial.empty()) return row.serial == serial_.bytes();
    if (!selection_->node.empty()) return row.node == absl::string_view(selection_->node);
    if (!selection_->spiffe_id_glob.empty()) return numbers_.contains(row.spiffe_id);
    if (!selection_->authority_id_prefix.empty()) return numbers_.contains(row.authority);
    return numbers_.contains(row.origin);
  }

 private:
  explicit Selected(const RevocationSelection& selection) : selection_(&selection) {}

  absl::Status LookUp(Database& database) {
    if (!selection_->spiffe_id_glob.empty()) {
      Query rows(database, "SELECT ref, uri FROM spiffe_id");
      while (rows.Next()) {
        const int64_t ref = rows.Int();
        MESHCA_ASSIGN_OR_RETURN(const SpiffeId id, SpiffeId::Parse(rows.Bytes()));
        if (id.MatchesGlob(selection_->spiffe_id_glob)) numbers_.insert(ref);
      }
      return rows.status();
    }
    if (!selection_->authority_id_prefix.empty()) {
      Query rows(database, "SELECT ref FROM authority WHERE substr(id, 1, ?) = ?");
      rows.Bind(static_cast<int64_t>(selection_->authority_id_prefix.size())).Bind(selection_->authority_id_prefix);
      return Collect(rows);
    }
    if (selection_->entry_id.empty()) return absl::OkStatus();
    Query rows(database, "SELECT ref FROM origin WHERE reference = ? AND kind = ?");
    rows.Bind(selection_->entry_id).Bind(static_cast<int>(OriginKind::kEntry));
    return Collect(rows);
  }
  absl::Status Collect(Query& rows) {
    while (rows.Next()) numbers_.insert(rows.Int());
    return rows.status();
  }

  const RevocationSelection* selection_;
  SerialNumber serial_;
  absl::flat_hash_set<int64_t> numbers_;
};

absl::StatusOr<bool> AnyUnfinished(Database& database) {
  Query row(database, "SELECT EXISTS(SELECT 1 FROM revocation_operation WHERE done = 0)");
  if (!row.Next()) return row.status();
  return row.Int() != 0;
}

absl::StatusOr<std::optional<Revocation>> ReadFirst(Query& row) {
  if (row.Next()) return ReadRevocation(row, 1);
  MESHCA_RETURN_IF_ERROR(row.status());
  return std::nullopt;
}

}  // namespace

absl::StatusOr<std::optional<Revocation>> SqliteRevocationTable::FindLine(absl::string_view line) {
  Query row(database_,
            "SELECT x.revoked_at, x.reason FROM revoked_line r"
            " CROSS JOIN revocation_operation x ON x.ref = r.operation WHERE r.line = ? AND x.done = 1");
  return ReadFirst(row.BindBlob(line));
}

absl::StatusOr<std::optional<Revocation>> SqliteRevocationTable::FindKey(absl::string_view key_sha256) {
  Query row(database_,
            "SELECT x.revoked_at, x.reason FROM revoked_key r"
            " CROSS JOIN revocation_operation x ON x.ref = r.operation WHERE r.key_sha256 = ? AND x.done = 1");
  return ReadFirst(row.BindBlob(key_sha256));
}

absl::StatusOr<bool> SqliteRevocationTable::HasAnyKey() {
  Query row(database_, "SELECT EXISTS(SELECT 1 FROM revoked_key)");
  const bool any = row.Next() && row.Int() != 0;
  MESHCA_RETURN_IF_ERROR(row.status());
  return any;
}

absl::Status SqliteRevocationTable::VisitCandidates(const RevocableQuery& query, VisitRevocable visit) {
  std::optional<Selected> selected;
  if (query.selection != nullptr) {
    MESHCA_ASSIGN_OR_RETURN(selected, Selected::Of(database_, *query.selection));
  }
  // By row number, one row after the other: the index on not_after would jump about for each. The lines of old records
  // have to be walked to; `old` tells them.
  Query row(database_,
            "SELECT i.ref, i.serial, i.key_sha256, i.not_after, i.spiffe_id, i.authority, i.origin, i.node,"
            " i.line IS NULL AND i.origin IS NULL AND i.parent IS NOT NULL AS old, ifnull(i.line, i.serial)"
            " FROM issuance i LEFT JOIN revoked_certificate r ON r.serial = i.serial"
            " LEFT JOIN revocation_operation x ON x.ref = r.operation AND x.done = 1"
            " WHERE i.ref > ? AND +i.not_after >= ? AND x.ref IS NULL ORDER BY i.ref");
  row.Bind(query.after_number).Bind(SecondsOf(query.alive_at));
  while (row.Next()) {
    RevocableCertificate certificate;
    Selected::Row facts{};
    certificate.number = row.Int();
    certificate.serial = facts.serial = row.Bytes();
    certificate.key_sha256 = row.Bytes();
    certificate.not_after = row.Int();
    facts.spiffe_id = row.Int();
    facts.authority = row.Int();
    facts.origin = row.Int();
    facts.node = row.Bytes();
    const bool old = row.Int() != 0;
    certificate.line = row.Bytes();
    MESHCA_RETURN_IF_ERROR(visit(certificate, old, selected.has_value() && selected->Fits(facts)));
  }
  return row.status();
}

absl::StatusOr<int64_t> SqliteRevocationTable::BeginOperation(absl::Time at, RevocationReason reason) {
  MESHCA_RETURN_IF_ERROR(Query(database_, "INSERT INTO revocation_operation(revoked_at, reason, done) VALUES(?, ?, 0)")
                             .Bind(at)
                             .Bind(static_cast<int>(reason))
                             .Run());
  return database_.LastInsertRow();
}

absl::Status SqliteRevocationTable::FinishOperation(int64_t operation) {
  return Query(database_, "UPDATE revocation_operation SET done = 1 WHERE ref = ?").Bind(operation).Run();
}

absl::Status SqliteRevocationTable::PutCertificate(absl::string_view serial, int64_t not_after, int64_t operation) {
  return Query(database_,
               "INSERT INTO revoked_certificate(serial, not_after, operation) VALUES(?, ?, ?)"
               " ON CONFLICT(serial) DO UPDATE SET operation = excluded.operation WHERE NOT EXISTS"
               " (SELECT 1 FROM revocation_operation x WHERE x.ref = revoked_certificate.operation AND x.done = 1)")
      .BindBlob(serial)
      .Bind(not_after)
      .Bind(operation)
      .Run();
}

absl::Status SqliteRevocationTable::PutLine(absl::string_view line, int64_t not_after, int64_t operation) {
  return Query(database_,
               "INSERT INTO revoked_line(line, not_after, operation) VALUES(?, ?, ?)"
               " ON CONFLICT(line) DO UPDATE SET not_after = max(not_after, excluded.not_after),"
               " operation = CASE WHEN EXISTS (SELECT 1 FROM revocation_operation x"
               " WHERE x.ref = revoked_line.operation AND x.done = 1) THEN revoked_line.operation"
               " ELSE excluded.operation END")
      .BindBlob(line)
      .Bind(not_after)
      .Bind(operation)
      .Run();
}

absl::Status SqliteRevocationTable::PutKey(absl::string_view key_sha256, int64_t not_after, int64_t operation) {
  return Query(database_,
               "INSERT INTO revoked_key(key_sha256, not_after, operation) VALUES(?, ?, ?)"
               " ON CONFLICT(key_sha256) DO UPDATE SET not_after = max(not_after, excluded.not_after),"
               " operation = CASE WHEN EXISTS (SELECT 1 FROM revocation_operation x"
               " WHERE x.ref = revoked_key.operation AND x.done = 1) THEN revoked_key.operation"
               " ELSE excluded.operation END")
      .BindBlob(key_sha256)
      .Bind(not_after)
      .Bind(operation)
      .Run();
}

absl::StatusOr<uint64_t> SqliteRevocationTable::Prune(absl::Time expired_before, uint64_t rows_max) {
  // By the index on not_after; what an interrupted revocation staged, and never counted, by reading all.
  constexpr const char* kEnded[] = {
      ("DELETE FROM revoked_certificate WHERE serial IN"
       " (SELECT serial FROM revoked_certificate WHERE not_after < ?1 LIMIT ?2)"),
      "DELETE FROM revoked_line WHERE line IN (SELECT line FROM revoked_line WHERE not_after < ?1 LIMIT ?2)",
      "DELETE FROM revoked_key WHERE key_sha256 IN (SELECT key_sha256 FROM revoked_key WHERE not_after < ?1 LIMIT ?2)"};
  constexpr const char* kUnfinished[] = {
      "DELETE FROM revoked_certificate WHERE serial IN (SELECT serial FROM revoked_certificate WHERE operation IN"
      " (SELECT ref FROM revocation_operation WHERE done = 0) AND ?1 = ?1 LIMIT ?2)",
      "DELETE FROM revoked_line WHERE line IN (SELECT line FROM revoked_line WHERE operation IN"
      " (SELECT ref FROM revocation_operation WHERE done = 0) AND ?1 = ?1 LIMIT ?2)",
      "DELETE FROM revoked_key WHERE key_sha256 IN (SELECT key_sha256 FROM revoked_key WHERE operation IN"
      " (SELECT ref FROM revocation_operation WHERE done = 0) AND ?1 = ?1 LIMIT ?2)"};
  MESHCA_ASSIGN_OR_RETURN(const bool unfinished, AnyUnfinished(database_));
  uint64_t deleted = 0;
  for (const char* const statement : unfinished ? kUnfinished : kEnded) {
    MESHCA_RETURN_IF_ERROR(Query(database_, statement).Bind(SecondsNotBefore(expired_before)).Bind(rows_max).Run());
    deleted += static_cast<uint64_t>(database_.RowsChanged());
  }
  if (unfinished && deleted == 0) {
    MESHCA_RETURN_IF_ERROR(Query(database_, "DELETE FROM revocation_operation WHERE done = 0").Run());
    deleted = static_cast<uint64_t>(database_.RowsChanged());
  }
  return deleted;
}

absl::Status SqliteRevocationTable::PruneOperations() {
  return Query(database_,
               "DELETE FROM revocation_operation WHERE ref NOT IN (SELECT operation FROM revoked_certificate"
               " UNION SELECT operation FROM revoked_line UNION SELECT operation FROM revoked_key)")
      .Run();
}

}  // namespace meshca::storage
