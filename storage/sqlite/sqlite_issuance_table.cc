#include "storage/sqlite/sqlite_issuance_table.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/x509/encoding.h"
#include "storage/restore_advice.h"
#include "storage/sqlite/revocation_columns.h"
#include "storage/sqlite/row_times.h"

namespace meshca::storage {
namespace {

constexpr int64_t kSecondsPerMinute = 60;

// A serial number in hex takes half the room as bytes. What is no such hex stays text.
std::optional<std::string> HexBytes(absl::string_view hex) {
  auto bytes = HexDecode(hex);
  if (!bytes.ok() || bytes->empty() || HexLower(*bytes) != hex) return std::nullopt;
  return *std::move(bytes);
}

// What ReadIssuance reads, of the tables that kOptional joins to `issuance i` and its names s, a and c.
constexpr char kColumns[] =
    "i.serial, s.uri, a.id, c.method, c.subject, i.not_before, i.not_after, i.issued_at, i.key_sha256,"
    " i.certificate_sha256, i.instance, i.node, i.parent, i.token, o.kind, o.reference, i.line, x.revoked_at, x.reason";
constexpr char kOptional[] =
    " LEFT JOIN origin o ON o.ref = i.origin LEFT JOIN revoked_certificate r ON r.serial = i.serial"
    " LEFT JOIN revocation_operation x ON x.ref = r.operation AND x.done = 1";

absl::StatusOr<IssuanceRecord> ReadIssuance(Query& row) {
  IssuanceRecord record;
  MESHCA_ASSIGN_OR_RETURN(record.serial, SerialNumber::FromBytes(row.Bytes()));
  MESHCA_ASSIGN_OR_RETURN(record.spiffe_id, SpiffeId::Parse(row.Bytes()));
  record.authority_id = row.String();
  record.method = static_cast<AuthMethod>(row.Int());
  record.caller = row.String();
  record.not_before = absl::FromUnixSeconds(row.Int());
  record.not_after = absl::FromUnixSeconds(row.Int());
  record.issued_at = row.Time();
  record.key_sha256 = row.String();
  record.certificate_sha256 = row.String();
  record.instance = row.String();
  record.node = row.String();
  const bool parent_is_bytes = row.NextColumnIs(SQLITE_BLOB);
  record.parent_serial = parent_is_bytes ? HexLower(row.Bytes()) : row.String();
  record.token_id = row.String();
  record.origin.kind = static_cast<OriginKind>(row.Int());
  record.origin.reference = row.String();
  record.line_serial = HexLower(row.Bytes());
  if (!row.NextColumnIs(SQLITE_NULL)) {
    record.revoked_at = row.Time();
    record.revocation_reason = static_cast<int>(row.Int());
  }
  return record;
}

absl::StatusOr<IssuanceRecord> ReadOrDataLoss(Query& row) {
  auto record = ReadIssuance(row);
  if (record.ok()) return record;
  return absl::DataLossError(
      absl::StrCat("database: an issuance is damaged: ", record.status().message(), "; ", RestoreAdvice()));
}

Query& BindOptional(Query& query, absl::string_view text) { return text.empty() ? query.BindNull() : query.Bind(text); }

}  // namespace

void SqliteIssuanceTable::BeginTransaction() {
  expiry_changes_.clear();
  names_.Trim();
}

void SqliteIssuanceTable::ForgetTransaction() {
  expiry_changes_.clear();
  names_.Forget();
}

absl::Status SqliteIssuanceTable::Insert(const NewIssuance& row) {
  const IssuanceRecord& record = row.record;
  MESHCA_ASSIGN_OR_RETURN(const int64_t spiffe_id, names_.OfSpiffeId(record.spiffe_id.uri()));
  MESHCA_ASSIGN_OR_RETURN(const int64_t caller, names_.OfCaller(record.method, record.caller));
  int64_t origin = row.origin_number;
  if (origin == 0) {
    MESHCA_ASSIGN_OR_RETURN(origin, names_.OfOrigin(row.origin));
  }
  const int64_t not_after = SecondsOf(record.not_after);
  const std::optional<std::string> parent = HexBytes(row.parent);
  Query insert(database_,
               "INSERT INTO issuance(serial, spiffe_id, authority, caller, not_before, not_after, issued_at,"
               " key_sha256, certificate_sha256, instance, node, parent, token, origin, line)"
               " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  insert.BindBlob(record.serial.bytes()).Bind(spiffe_id).Bind(row.signer).Bind(caller);
  insert.Bind(SecondsOf(record.not_before)).Bind(not_after).Bind(record.issued_at);
  insert.BindBlob(record.key_sha256).BindBlob(record.certificate_sha256);
  BindOptional(insert, record.instance);
  row.node.empty() ? insert.BindNull() : insert.Bind(row.node);
  if (parent.has_value()) {
    insert.BindBlob(*parent);
  } else {
    BindOptional(insert, row.parent);
  }
  BindOptional(insert, record.token_id);
  origin == 0 ? insert.BindNull() : insert.Bind(origin);
  row.line.empty() ? insert.BindNull() : insert.BindBlob(row.line);
  MESHCA_RETURN_IF_ERROR(insert.Run());
  ++expiry_changes_[{not_after / kSecondsPerMinute, row.signer}];
  return absl::OkStatus();
}

absl::Status SqliteIssuanceTable::WriteCounters() {
  for (const auto& [bucket, rows] : expiry_changes_) {
    MESHCA_RETURN_IF_ERROR(
        Query(
            database_,
            "INSERT INTO expiry(minute, authority, count) VALUES(?, ?, ?) ON CONFLICT(minute, authority) DO UPDATE SET"
            " count = count + excluded.count")
            .Bind(bucket.first)
            .Bind(bucket.second)
            .Bind(rows)
            .Run());
  }
  expiry_changes_.clear();
  return absl::OkStatus();
}

absl::StatusOr<std::optional<RecordedCertificate>> SqliteIssuanceTable::FindRecorded(absl::string_view serial) {
  // One statement, because each renewal pays for it: the tables of what is revoked are small, and empty mostly.
  Query row(
      database_,
      "SELECT i.ref, s.uri, i.certificate_sha256, c.method, c.subject, i.token, i.parent, i.line, i.origin,"
      " o.kind, o.reference, xc.revoked_at, xc.reason, xl.revoked_at, xl.reason, xk.revoked_at, xk.reason, i.issued_at,"
      " i.node"
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
  found.revocation = ReadRevocation(row, 3);
  found.issued_at = row.Time();
  found.node = row.String();
  return found;
}

absl::StatusOr<std::optional<IssuanceRecord>> SqliteIssuanceTable::Find(const SerialNumber& serial) {
  static const std::string* sql = new std::string(
      absl::StrCat("SELECT ", kColumns,
                   " FROM issuance i JOIN spiffe_id s ON s.ref = i.spiffe_id JOIN authority a ON a.ref = i.authority"
                   " JOIN caller c ON c.ref = i.caller",
                   kOptional, " WHERE i.serial = ?"));
  Query row(database_, sql->c_str());
  row.BindBlob(serial.bytes());
  if (row.Next()) {
    MESHCA_ASSIGN_OR_RETURN(IssuanceRecord record, ReadOrDataLoss(row));
    return record;
  }
  MESHCA_RETURN_IF_ERROR(row.status());
  return std::nullopt;
}

absl::StatusOr<bool> SqliteIssuanceTable::Has(absl::string_view serial) {
  Query row(database_, "SELECT 1 FROM issuance WHERE serial = ?");
  const bool there = row.BindBlob(serial).Next();
  MESHCA_RETURN_IF_ERROR(row.status());
  return there;
}

absl::StatusOr<bool> SqliteIssuanceTable::HasCertificate(const SerialNumber& serial,
                                                         absl::string_view certificate_sha256) {
  Query row(database_, "SELECT certificate_sha256 FROM issuance WHERE serial = ?");
  const bool there = row.BindBlob(serial.bytes()).Next() && row.Bytes() == certificate_sha256;
  MESHCA_RETURN_IF_ERROR(row.status());
  return there;
}

absl::Status SqliteIssuanceTable::Visit(const IssuanceFilter& filter,
                                        absl::FunctionRef<bool(const IssuanceRecord&)> visit) {
  // 0: any. An ID written out is looked up once, and every other row is passed over without being read whole.
  int64_t one_id = 0;
  const std::string& glob = filter.spiffe_id_glob;
  if (!glob.empty() && glob.find_first_of("*?") == std::string::npos) {
    Query name(database_, "SELECT ref FROM spiffe_id WHERE uri = ?");
    if (!name.Bind(glob).Next()) return name.status();
    one_id = name.Int();
  }
  // CROSS JOIN fixes the order of the loops: issuances outside, by row number, so the oldest come first without a sort.
  // The unary plus keeps the index on not_after out of it: it would demand one.
  static const std::string* names = new std::string(
      " CROSS JOIN spiffe_id s ON s.ref = i.spiffe_id CROSS JOIN authority a ON a.ref = i.authority"
      " CROSS JOIN caller c ON c.ref = i.caller");
  static const std::string* where = new std::string(
      " WHERE (? = 0 OR i.spiffe_id = ?) AND +i.not_after < ? AND +i.not_after >= ? AND (? = '' OR i.node = ?)"
      " AND substr(a.id, 1, ?) = ? ORDER BY i.ref");
  static const std::string* all =
      new std::string(absl::StrCat("SELECT ", kColumns, " FROM issuance i", *names, kOptional, *where));
  // Of millions few are revoked: those are looked up by their serial numbers, and sorted.
  static const std::string* revoked = new std::string(
      absl::StrCat("SELECT ", kColumns,
                   " FROM revoked_certificate r CROSS JOIN revocation_operation x ON x.ref = r.operation AND x.done = 1"
                   " CROSS JOIN issuance i ON i.serial = r.serial",
                   *names, " LEFT JOIN origin o ON o.ref = i.origin", *where));
  Query rows(database_, filter.revoked_only ? revoked->c_str() : all->c_str());
  rows.Bind(one_id).Bind(one_id);
  rows.Bind(SecondsNotBefore(filter.expires_before)).Bind(SecondsNotBefore(filter.expires_after));
  rows.Bind(filter.node).Bind(filter.node);
  rows.Bind(static_cast<int64_t>(filter.authority_id_prefix.size())).Bind(filter.authority_id_prefix);
  while (rows.Next()) {
    MESHCA_ASSIGN_OR_RETURN(const IssuanceRecord record, ReadOrDataLoss(rows));
    if (!glob.empty() && !record.spiffe_id.MatchesGlob(glob)) continue;
    if (!visit(record)) break;
  }
  return rows.status();
}

absl::StatusOr<int64_t> SqliteIssuanceTable::NewestNumber() {
  Query row(database_, "SELECT coalesce(max(ref), 0) FROM issuance");
  const int64_t newest = row.Next() ? row.Int() : 0;
  MESHCA_RETURN_IF_ERROR(row.status());
  return newest;
}

absl::StatusOr<uint64_t> SqliteIssuanceTable::Count() {
  Query row(database_, "SELECT coalesce(sum(count), 0) FROM expiry");
  const uint64_t count = row.Next() ? row.Uint() : 0;
  MESHCA_RETURN_IF_ERROR(row.status());
  return count;
}

absl::StatusOr<uint64_t> SqliteIssuanceTable::CountSignedBy(const std::string& authority_id) {
  // The counters say it without reading the issuances, which have no index by authority.
  Query row(database_,
            "SELECT coalesce(sum(count), 0) FROM expiry WHERE authority = (SELECT ref FROM authority WHERE id = ?)");
  const uint64_t count = row.Bind(authority_id).Next() ? row.Uint() : 0;
  MESHCA_RETURN_IF_ERROR(row.status());
  return count;
}

absl::StatusOr<std::map<std::string, uint64_t>> SqliteIssuanceTable::CountLive(absl::Time now) {
  // A certificate lives to the end of its last second. Whole minutes come from the counters; in the minute that runs,
  // the rows themselves say which have ended.
  const int64_t second = SecondsOf(now);
  const int64_t minute = second / kSecondsPerMinute;
  std::map<std::string, uint64_t> counts;
  auto add = [&](Query& rows) {
    while (rows.Next()) {
      std::string id = rows.String();
      counts[std::move(id)] += rows.Uint();
    }
    return rows.status();
  };
  {
    Query whole(database_,
                "SELECT a.id, sum(e.count) FROM expiry e JOIN authority a ON a.ref = e.authority WHERE e.minute > ?"
                " GROUP BY a.ref HAVING sum(e.count) > 0");
    MESHCA_RETURN_IF_ERROR(add(whole.Bind(minute)));
  }
  Query part(database_,
             "SELECT a.id, count(*) FROM issuance i JOIN authority a ON a.ref = i.authority"
             " WHERE i.not_after >= ? AND i.not_after < ? GROUP BY a.ref");
  MESHCA_RETURN_IF_ERROR(add(part.Bind(second).Bind((minute + 1) * kSecondsPerMinute)));
  return counts;
}

absl::StatusOr<uint64_t> SqliteIssuanceTable::Prune(absl::Time expired_before, uint64_t rows_max) {
  struct Row {
    int64_t ref, minute, authority;
  };
  std::vector<Row> expired;
  {
    // The newest row stays: the next one gets the number after the highest that is there.
    Query rows(database_,
               "SELECT ref, not_after / 60, authority FROM issuance WHERE not_after < ?"
               " AND ref < (SELECT max(ref) FROM issuance) ORDER BY not_after LIMIT ?");
    rows.Bind(SecondsNotBefore(expired_before)).Bind(rows_max);
    while (rows.Next()) {
      Row row{};
      row.ref = rows.Int();
      row.minute = rows.Int();
      row.authority = rows.Int();
      expired.push_back(row);
    }
    MESHCA_RETURN_IF_ERROR(rows.status());
  }
  std::map<std::pair<int64_t, int64_t>, int64_t> gone;
  for (const Row& row : expired) {
    MESHCA_RETURN_IF_ERROR(Query(database_, "DELETE FROM issuance WHERE ref = ?").Bind(row.ref).Run());
    ++gone[{row.minute, row.authority}];
  }
  for (const auto& [bucket, rows] : gone) {
    MESHCA_RETURN_IF_ERROR(Query(database_, "UPDATE expiry SET count = count - ? WHERE minute = ? AND authority = ?")
                               .Bind(rows)
                               .Bind(bucket.first)
                               .Bind(bucket.second)
                               .Run());
    MESHCA_RETURN_IF_ERROR(Query(database_, "DELETE FROM expiry WHERE minute = ? AND authority = ? AND count = 0")
                               .Bind(bucket.first)
                               .Bind(bucket.second)
                               .Run());
  }
  return expired.size();
}

}  // namespace meshca::storage
