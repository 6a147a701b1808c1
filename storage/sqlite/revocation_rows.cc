#include "storage/sqlite/revocation_rows.h"

#include <optional>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "ca/base/status.h"
#include "ca/identity/origin.h"
#include "ca/issuance/certificate_profile.h"
#include "ca/spiffe/spiffe_id.h"
#include "ca/x509/serial_number.h"
#include "storage/sqlite/renewal_rows.h"
#include "storage/sqlite/row_times.h"

namespace meshca::storage {
namespace {

// A line whose first certificate is not on record (pruned long ago, or issued before a restore or an adoption) may have
// more that are not, and nobody knows their ends. No profile of ours allows a leaf to live for longer than this.
int64_t UnknownEndSeconds() { return absl::ToInt64Seconds(CertificateProfile::kLifetimeLimit); }

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

// One reading of the live certificates that are not revoked, for a plan.
class Pass {
 public:
  Pass(Database& database, const KeyEncryption& keys, const RevocableQuery& query, RevocationPlan& plan)
      : database_(database), inventory_(database, keys), query_(query), plan_(plan) {}

  absl::Status Run(const Selected* selected) {
    // By row number, one row after the other: the index on not_after would jump about for each. The lines of old
    // records have to be walked to; `old` tells them.
    Query rows(database_,
               "SELECT i.ref, i.serial, i.key_sha256, i.not_after, i.spiffe_id, i.authority, i.origin, i.node,"
               " i.line IS NULL AND i.origin IS NULL AND i.parent IS NOT NULL AS old, ifnull(i.line, i.serial)"
               " FROM issuance i LEFT JOIN revoked_certificate r ON r.serial = i.serial"
               " LEFT JOIN revocation_operation x ON x.ref = r.operation AND x.done = 1"
               " WHERE i.ref > ? AND +i.not_after >= ? AND x.ref IS NULL ORDER BY i.ref");
    rows.Bind(query_.after_number).Bind(SecondsOf(query_.alive_at));
    while (rows.Next()) MESHCA_RETURN_IF_ERROR(OfferRow(rows, selected));
    return rows.status();
  }

 private:
  absl::Status OfferRow(Query& row, const Selected* selected) {
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
    if (old) {
      MESHCA_ASSIGN_OR_RETURN(certificate.line, OldLine(certificate));
    }
    bool fits = false;
    if (selected != nullptr) {
      fits = selected->Fits(facts);
    } else {
      MESHCA_ASSIGN_OR_RETURN(fits, IsMate(certificate));
    }
    plan_.Offer(certificate, fits);
    return absl::OkStatus();
  }

  absl::StatusOr<absl::string_view> OldLine(const RevocableCertificate& certificate) {
    auto [line, added] = old_lines_.try_emplace(certificate.number);
    if (!added) return absl::string_view(line->second);
    MESHCA_ASSIGN_OR_RETURN(std::optional<RecordedCertificate> record, inventory_.FindRecorded(certificate.serial));
    if (!record.has_value()) return certificate.line;
    MESHCA_ASSIGN_OR_RETURN(line->second, LineOf(inventory_, *std::move(record)));
    return absl::string_view(line->second);
  }

  absl::StatusOr<bool> IsMate(const RevocableCertificate& certificate) {
    MESHCA_ASSIGN_OR_RETURN(const auto line, inventory_.FindRevokedLine(certificate.line));
    if (line.has_value()) return true;
    MESHCA_ASSIGN_OR_RETURN(const auto key, FindRevokedKey(database_, certificate.key_sha256));
    return key.has_value();
  }

  Database& database_;
  InventoryRows inventory_;
  const RevocableQuery& query_;
  RevocationPlan& plan_;
  absl::flat_hash_map<int64_t, std::string> old_lines_;
};

// Each name stays with the operation that is done, if one has it; what an interrupted one left is taken over.
absl::Status StageCertificate(Database& database, int64_t operation, const RevocationPlan::Certificate& certificate) {
  return Query(database,
               "INSERT INTO revoked_certificate(serial, not_after, operation) VALUES(?, ?, ?)"
               " ON CONFLICT(serial) DO UPDATE SET operation = excluded.operation WHERE NOT EXISTS"
               " (SELECT 1 FROM revocation_operation x WHERE x.ref = revoked_certificate.operation AND x.done = 1)")
      .BindBlob(certificate.serial)
      .Bind(certificate.not_after)
      .Bind(operation)
      .Run();
}

absl::Status StageLine(Database& database, int64_t operation, const RevocationPlan::Certificate& certificate) {
  return Query(database,
               "INSERT INTO revoked_line(line, not_after, operation)"
               " SELECT ?1, ?2 + CASE WHEN EXISTS (SELECT 1 FROM issuance WHERE serial = ?1) THEN 0 ELSE ?4 END, ?3"
               " WHERE true ON CONFLICT(line) DO UPDATE SET not_after = max(not_after, excluded.not_after),"
               " operation = CASE WHEN EXISTS (SELECT 1 FROM revocation_operation x"
               " WHERE x.ref = revoked_line.operation AND x.done = 1) THEN revoked_line.operation"
               " ELSE excluded.operation END")
      .BindBlob(certificate.line)
      .Bind(certificate.not_after)
      .Bind(operation)
      .Bind(UnknownEndSeconds())
      .Run();
}

absl::Status StageKey(Database& database, int64_t operation, const RevocationPlan::Certificate& certificate) {
  return Query(database,
               "INSERT INTO revoked_key(key_sha256, not_after, operation) VALUES(?, ?, ?)"
               " ON CONFLICT(key_sha256) DO UPDATE SET not_after = max(not_after, excluded.not_after),"
               " operation = CASE WHEN EXISTS (SELECT 1 FROM revocation_operation x"
               " WHERE x.ref = revoked_key.operation AND x.done = 1) THEN revoked_key.operation"
               " ELSE excluded.operation END")
      .BindBlob(certificate.key_sha256)
      .Bind(certificate.not_after)
      .Bind(operation)
      .Run();
}

absl::StatusOr<bool> AnyUnfinished(Database& database) {
  Query row(database, "SELECT EXISTS(SELECT 1 FROM revocation_operation WHERE done = 0)");
  if (!row.Next()) return row.status();
  return row.Int() != 0;
}

}  // namespace

absl::Status GrowPlan(Database& database, const KeyEncryption& keys, const RevocableQuery& query,
                      RevocationPlan& plan) {
  std::optional<Selected> selected;
  if (query.selection != nullptr) {
    MESHCA_ASSIGN_OR_RETURN(selected, Selected::Of(database, *query.selection));
  }
  Pass pass(database, keys, query, plan);
  do {
    MESHCA_RETURN_IF_ERROR(pass.Run(selected.has_value() ? &*selected : nullptr));
  } while (plan.Growing());
  return absl::OkStatus();
}

absl::StatusOr<int64_t> NewestNumber(Database& database) {
  Query row(database, "SELECT coalesce(max(ref), 0) FROM issuance");
  if (!row.Next()) return row.status();
  return row.Int();
}

absl::StatusOr<int64_t> BeginOperation(Database& database, absl::Time at, RevocationReason reason) {
  MESHCA_RETURN_IF_ERROR(Query(database, "INSERT INTO revocation_operation(revoked_at, reason, done) VALUES(?, ?, 0)")
                             .Bind(at)
                             .Bind(static_cast<int>(reason))
                             .Run());
  return database.LastInsertRow();
}

absl::Status FinishOperation(Database& database, int64_t operation) {
  return Query(database, "UPDATE revocation_operation SET done = 1 WHERE ref = ?").Bind(operation).Run();
}

absl::Status StageCertificates(Database& database, int64_t operation,
                               std::span<const RevocationPlan::Certificate> certificates) {
  for (const RevocationPlan::Certificate& certificate : certificates) {
    MESHCA_RETURN_IF_ERROR(StageCertificate(database, operation, certificate));
    MESHCA_RETURN_IF_ERROR(StageLine(database, operation, certificate));
    MESHCA_RETURN_IF_ERROR(StageKey(database, operation, certificate));
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> PruneRevocations(Database& database, absl::Time expired_before, uint64_t rows_max) {
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
  MESHCA_ASSIGN_OR_RETURN(const bool unfinished, AnyUnfinished(database));
  uint64_t deleted = 0;
  for (const char* const statement : unfinished ? kUnfinished : kEnded) {
    MESHCA_RETURN_IF_ERROR(Query(database, statement).Bind(SecondsNotBefore(expired_before)).Bind(rows_max).Run());
    deleted += static_cast<uint64_t>(database.RowsChanged());
  }
  if (unfinished && deleted == 0) {
    MESHCA_RETURN_IF_ERROR(Query(database, "DELETE FROM revocation_operation WHERE done = 0").Run());
    deleted = static_cast<uint64_t>(database.RowsChanged());
  }
  return deleted;
}

absl::Status PruneOperations(Database& database) {
  return Query(database,
               "DELETE FROM revocation_operation WHERE ref NOT IN (SELECT operation FROM revoked_certificate"
               " UNION SELECT operation FROM revoked_line UNION SELECT operation FROM revoked_key)")
      .Run();
}

}  // namespace meshca::storage
