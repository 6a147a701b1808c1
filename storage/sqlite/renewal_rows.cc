#include "storage/sqlite/renewal_rows.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/x509/encoding.h"
#include "storage/sqlite/access_rows.h"
#include "storage/sqlite/authority_rows.h"
#include "storage/sqlite/issuance_rows.h"

namespace meshca::storage {
namespace {

// The first of a row's columns that names a done operation; the row has `count` such columns, each NULL mostly.
absl::StatusOr<std::optional<Revocation>> ReadOperation(Query& row, int count) {
  std::optional<Revocation> revocation;
  for (int i = 0; i < count; ++i) {
    const bool named = !row.NextColumnIs(SQLITE_NULL);
    const absl::Time at = row.Time();
    const int reason = static_cast<int>(row.Int());
    if (named && !revocation.has_value()) revocation = Revocation{at, reason};
  }
  return revocation;
}

}  // namespace

absl::StatusOr<std::optional<RecordedCertificate>> InventoryRows::FindRecorded(absl::string_view serial) {
  // One statement, because each renewal pays for it: the tables of what is revoked are small, and empty mostly.
  Query row(
      database_,
      "SELECT i.ref, s.uri, i.certificate_sha256, c.method, c.subject, i.token, i.parent, i.line, i.origin,"
      " o.kind, o.reference, xc.revoked_at, xc.reason, xl.revoked_at, xl.reason, xk.revoked_at, xk.reason, i.issued_at"
      " FROM issuance i CROSS JOIN spiffe_id s ON s.ref = i.spiffe_id CROSS JOIN caller c ON c.ref = i.caller"
      " LEFT JOIN origin o ON o.ref = i.origin"
      " LEFT JOIN revoked_certificate rc ON rc.serial = i.serial"
      " LEFT JOIN revocation_operation xc ON xc.ref = rc.operation AND xc.done = 1"
      " LEFT JOIN revoked_line rl ON rl.line = ifnull(i.line, i.serial)"
      " LEFT JOIN revocation_operation xl ON xl.ref = rl.operation AND xl.done = 1"
      " LEFT JOIN revoked_key rk ON rk.key_sha256 = i.key_sha256"
      " LEFT JOIN revocation_operation xk ON xk.ref = rk.operation AND xk.done = 1"
      " WHERE i.serial = ?");
  row.BindBlob(serial);
  if (!row.Next()) {
    MESHCA_RETURN_IF_ERROR(row.status());
    return std::nullopt;
  }
  RecordedCertificate found;
  found.number = row.Int();
  found.serial = std::string(serial);
  found.spiffe_id = row.String();
  found.certificate_sha256 = row.String();
  found.method = static_cast<AuthMethod>(row.Int());
  found.caller = row.String();
  found.token_id = row.String();
  // What is no hex stays text, and names no certificate.
  const bool parent_is_bytes = row.NextColumnIs(SQLITE_BLOB);
  found.parent = row.String();
  if (!parent_is_bytes) found.parent.clear();
  found.line = row.String();
  found.origin_number = row.Int();
  found.origin.kind = static_cast<OriginKind>(row.Int());
  found.origin.reference = row.String();
  MESHCA_ASSIGN_OR_RETURN(found.revocation, ReadOperation(row, 3));
  found.issued_at = row.Time();
  return found;
}

absl::StatusOr<std::optional<Revocation>> InventoryRows::FindRevokedLine(absl::string_view line) {
  Query row(database_,
            "SELECT x.revoked_at, x.reason FROM revoked_line r"
            " CROSS JOIN revocation_operation x ON x.ref = r.operation WHERE r.line = ? AND x.done = 1");
  row.BindBlob(line);
  if (row.Next()) return ReadOperation(row, 1);
  MESHCA_RETURN_IF_ERROR(row.status());
  return std::nullopt;
}

absl::StatusOr<bool> InventoryRows::HasEntry(const std::string& id, const SpiffeId& spiffe_id, absl::Time issued_at) {
  return EntryGives(database_, keys_, id, spiffe_id, issued_at);
}

absl::StatusOr<std::vector<StoredAuthority>> InventoryRows::Authorities() {
  MESHCA_ASSIGN_OR_RETURN(AuthoritiesAndBundle trust, SelectAuthorities(database_, keys_));
  return std::move(trust.authorities);
}

absl::StatusOr<std::optional<Revocation>> FindRevokedKey(Database& database, absl::string_view key_sha256) {
  Query row(database,
            "SELECT x.revoked_at, x.reason FROM revoked_key r"
            " CROSS JOIN revocation_operation x ON x.ref = r.operation WHERE r.key_sha256 = ? AND x.done = 1");
  row.BindBlob(key_sha256);
  if (row.Next()) return ReadOperation(row, 1);
  MESHCA_RETURN_IF_ERROR(row.status());
  return std::nullopt;
}

absl::StatusOr<bool> AnyKeyRevoked(Database& database) {
  Query row(database, "SELECT EXISTS(SELECT 1 FROM revoked_key)");
  if (!row.Next()) return row.status();
  return row.Int() != 0;
}

absl::StatusOr<IssuanceRecord> JudgeShown(Database& database, const KeyEncryption& keys,
                                          const PresentedCertificate& shown,
                                          const std::vector<std::string>* trusted_issuers) {
  InventoryRows inventory(database, keys);
  MESHCA_ASSIGN_OR_RETURN(InheritedRight right, JudgeRenewal(inventory, shown, trusted_issuers));
  IssuanceRecord record;
  record.spiffe_id = shown.spiffe_id;
  if (right.unrecorded) return record;
  MESHCA_ASSIGN_OR_RETURN(const SerialNumber serial, SerialNumber::FromHex(shown.serial));
  MESHCA_ASSIGN_OR_RETURN(record, SelectIssuance(database, serial));
  record.origin = std::move(right.origin);
  if (record.line_serial.empty() && right.line != serial.bytes()) record.line_serial = HexLower(right.line);
  return record;
}

}  // namespace meshca::storage
