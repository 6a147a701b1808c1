#include "storage/sqlite/issuance_rows.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/x509/encoding.h"
#include "storage/sqlite/access_rows.h"
#include "storage/sqlite/audit_rows.h"
#include "storage/sqlite/renewal_rows.h"
#include "storage/sqlite/row_times.h"
#include "storage/store.h"

namespace meshca::storage {
namespace {

// Names whose numbers are remembered; about 200 bytes each. Beyond it the memory starts anew.
constexpr size_t kNamesMax = 8192;

constexpr int64_t kSecondsPerMinute = 60;

// A serial number in hex takes half the room as bytes. What is no such hex stays text.
std::optional<std::string> HexBytes(const std::string& hex) {
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

Query& BindOptional(Query& query, const std::string& text) {
  return text.empty() ? query.BindNull() : query.Bind(text);
}

}  // namespace

void IssuanceWriter::BeginBatch() {
  signers_.clear();
  upheld_.clear();
  expiry_changes_.clear();
  if (spiffe_ids_.size() > kNamesMax) spiffe_ids_.clear();
  if (callers_.size() > kNamesMax) callers_.clear();
  if (origins_.size() > kNamesMax) origins_.clear();
}

void IssuanceWriter::Forget() {
  spiffe_ids_.clear();
  callers_.clear();
  origins_.clear();
  any_key_revoked_.reset();
  BeginBatch();
}

const IssuanceWriter::Signer& IssuanceWriter::SignerOf(const std::string& authority_id) {
  auto [signer, added] = signers_.try_emplace(authority_id);
  if (added) {
    Query row(database_, "SELECT ref, state FROM authority WHERE id = ?");
    row.Bind(authority_id);
    if (row.Next()) {
      signer->second.ref = row.Int();
      signer->second.state = static_cast<AuthorityState>(row.Int());
    }
  }
  return signer->second;
}

absl::StatusOr<int64_t> IssuanceWriter::SpiffeIdRef(const std::string& uri) {
  auto known = spiffe_ids_.find(uri);
  if (known != spiffe_ids_.end()) return known->second;
  int64_t ref = 0;
  {
    Query row(database_, "SELECT ref FROM spiffe_id WHERE uri = ?");
    row.Bind(uri);
    if (row.Next()) ref = row.Int();
    MESHCA_RETURN_IF_ERROR(row.status());
  }
  if (ref == 0) {
    MESHCA_RETURN_IF_ERROR(Query(database_, "INSERT INTO spiffe_id(uri) VALUES(?)").Bind(uri).Run());
    ref = database_.LastInsertRow();
  }
  spiffe_ids_.emplace(uri, ref);
  return ref;
}

absl::StatusOr<int64_t> IssuanceWriter::CallerRef(AuthMethod method, const std::string& subject) {
  std::string name = absl::StrCat(static_cast<int>(method), " ", subject);
  auto known = callers_.find(name);
  if (known != callers_.end()) return known->second;
  int64_t ref = 0;
  {
    Query row(database_, "SELECT ref FROM caller WHERE subject = ? AND method = ?");
    row.Bind(subject).Bind(static_cast<int>(method));
    if (row.Next()) ref = row.Int();
    MESHCA_RETURN_IF_ERROR(row.status());
  }
  if (ref == 0) {
    MESHCA_RETURN_IF_ERROR(Query(database_, "INSERT INTO caller(method, subject) VALUES(?, ?)")
                               .Bind(static_cast<int>(method))
                               .Bind(subject)
                               .Run());
    ref = database_.LastInsertRow();
  }
  callers_.emplace(std::move(name), ref);
  return ref;
}

absl::StatusOr<int64_t> IssuanceWriter::OriginRef(const Origin& origin) {
  if (origin.kind == OriginKind::kUnknown) return 0;
  std::string name = absl::StrCat(static_cast<int>(origin.kind), " ", origin.reference);
  auto known = origins_.find(name);
  if (known != origins_.end()) return known->second;
  int64_t ref = 0;
  {
    Query row(database_, "SELECT ref FROM origin WHERE reference = ? AND kind = ?");
    row.Bind(origin.reference).Bind(static_cast<int>(origin.kind));
    if (row.Next()) ref = row.Int();
    MESHCA_RETURN_IF_ERROR(row.status());
  }
  if (ref == 0) {
    MESHCA_RETURN_IF_ERROR(Query(database_, "INSERT INTO origin(kind, reference) VALUES(?, ?)")
                               .Bind(static_cast<int>(origin.kind))
                               .Bind(origin.reference)
                               .Run());
    ref = database_.LastInsertRow();
  }
  // A token gives one certificate, and its renewals take the number from that one: remembered, a thousand tokens would
  // only drive out the entries and issuers that come back.
  if (origin.kind != OriginKind::kJoinToken) origins_.emplace(std::move(name), ref);
  return ref;
}

absl::Status IssuanceWriter::CheckKey(const IssuanceRecord& record) {
  if (!any_key_revoked_.has_value()) {
    MESHCA_ASSIGN_OR_RETURN(any_key_revoked_, AnyKeyRevoked(database_));
  }
  if (!*any_key_revoked_) return absl::OkStatus();
  MESHCA_ASSIGN_OR_RETURN(const auto revocation, FindRevokedKey(database_, record.key_sha256));
  return revocation.has_value() ? KeyIsRevoked(*revocation) : absl::OkStatus();
}

absl::StatusOr<InheritedRight> IssuanceWriter::Inherit(const IssuanceRecord& record) {
  MESHCA_RETURN_IF_ERROR(CheckSameId(record));
  InventoryRows inventory(database_, keys_);
  return JudgeRenewal(inventory, *record.presented, record.trusted_issuers.get());
}

absl::Status IssuanceWriter::CheckEntry(const IssuanceRecord& record) {
  if (record.origin.kind != OriginKind::kEntry) return absl::OkStatus();
  // One entry often gives a whole batch: what upheld a certificate upholds each that was issued later.
  const auto [upheld, added] =
      upheld_.try_emplace(absl::StrCat(record.origin.reference, " ", record.spiffe_id.uri()), absl::InfiniteFuture());
  if (!added && upheld->second <= record.issued_at) return absl::OkStatus();
  InventoryRows inventory(database_, keys_);
  MESHCA_RETURN_IF_ERROR(CheckFirstRight(inventory, record));
  upheld->second = record.issued_at;
  return absl::OkStatus();
}

absl::Status IssuanceWriter::Insert(const IssuanceRecord& record) {
  const Signer signer = SignerOf(record.authority_id);
  if (signer.state != AuthorityState::kActive) {
    return absl::AbortedError(
        absl::StrCat("issuance: authority ", record.authority_id, " does not sign any more: sign again"));
  }
  InheritedRight right;
  if (record.presented.has_value()) {
    MESHCA_ASSIGN_OR_RETURN(right, Inherit(record));
  } else {
    MESHCA_RETURN_IF_ERROR(CheckEntry(record));
    right.origin = record.origin;
    if (!record.parent_serial.empty()) {
      InventoryRows inventory(database_, keys_);
      MESHCA_ASSIGN_OR_RETURN(right.line, JudgeReplacement(inventory, record));
    }
  }
  MESHCA_RETURN_IF_ERROR(CheckKey(record));
  std::optional<Redemption> redemption;
  if (!record.token_id.empty()) {
    MESHCA_ASSIGN_OR_RETURN(redemption, CheckRedemption(database_, keys_, record));
  }
  MESHCA_ASSIGN_OR_RETURN(const int64_t spiffe_id, SpiffeIdRef(record.spiffe_id.uri()));
  MESHCA_ASSIGN_OR_RETURN(const int64_t caller, CallerRef(record.method, record.caller));
  int64_t origin = right.origin_number;
  if (origin == 0) {
    MESHCA_ASSIGN_OR_RETURN(origin, OriginRef(right.origin));
  }
  const int64_t not_after = SecondsOf(record.not_after);
  const std::optional<std::string> parent = HexBytes(record.parent_serial);
  {
    // The only statement that a record can fail alone, so it comes before those that change anything else.
    Query insert(database_,
                 "INSERT INTO issuance(serial, spiffe_id, authority, caller, not_before, not_after, issued_at,"
                 " key_sha256, certificate_sha256, instance, node, parent, token, origin, line)"
                 " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    insert.BindBlob(record.serial.bytes()).Bind(spiffe_id).Bind(signer.ref).Bind(caller);
    insert.Bind(SecondsOf(record.not_before)).Bind(not_after).Bind(record.issued_at);
    insert.BindBlob(record.key_sha256).BindBlob(record.certificate_sha256);
    BindOptional(BindOptional(insert, record.instance), record.node);
    if (parent.has_value()) {
      insert.BindBlob(*parent);
    } else {
      BindOptional(insert, record.parent_serial);
    }
    BindOptional(insert, record.token_id);
    origin == 0 ? insert.BindNull() : insert.Bind(origin);
    right.line.empty() ? insert.BindNull() : insert.BindBlob(right.line);
    absl::Status status = insert.Run();
    if (absl::IsAlreadyExists(status)) {
      return absl::AlreadyExistsError(absl::StrCat("issuance: serial number ", record.serial.ToHex(), " is taken"));
    }
    MESHCA_RETURN_IF_ERROR(status);
  }
  if (redemption && redemption->first) {
    MESHCA_RETURN_IF_ERROR(MarkTokenUsed(database_, keys_, std::move(redemption->token), record));
  }
  if (right.unrecorded) MESHCA_RETURN_IF_ERROR(InsertAudit(database_, UnrecordedRenewal(record)));
  ++expiry_changes_[{not_after / kSecondsPerMinute, signer.ref}];
  return absl::OkStatus();
}

absl::Status IssuanceWriter::FlushCounters() {
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

absl::Status IssuanceWriter::MakeWay() {
  signers_.clear();
  upheld_.clear();
  any_key_revoked_.reset();
  return FlushCounters();
}

absl::StatusOr<IssuanceRecord> SelectIssuance(Database& database, const SerialNumber& serial) {
  static const std::string* sql = new std::string(
      absl::StrCat("SELECT ", kColumns,
                   " FROM issuance i JOIN spiffe_id s ON s.ref = i.spiffe_id JOIN authority a ON a.ref = i.authority"
                   " JOIN caller c ON c.ref = i.caller",
                   kOptional, " WHERE i.serial = ?"));
  Query row(database, sql->c_str());
  row.BindBlob(serial.bytes());
  if (row.Next()) return ReadOrDataLoss(row);
  MESHCA_RETURN_IF_ERROR(row.status());
  return absl::NotFoundError(absl::StrCat("issuance: no certificate with serial number ", serial.ToHex()));
}

absl::Status VisitIssuances(Database& database, const IssuanceFilter& filter,
                            absl::FunctionRef<bool(const IssuanceRecord&)> visit) {
  // 0: any. An ID written out is looked up once, and every other row is passed over without being read whole.
  int64_t one_id = 0;
  const std::string& glob = filter.spiffe_id_glob;
  if (!glob.empty() && glob.find_first_of("*?") == std::string::npos) {
    Query name(database, "SELECT ref FROM spiffe_id WHERE uri = ?");
    if (!name.Bind(glob).Next()) return name.status();
    one_id = name.Int();
  }
  // CROSS JOIN fixes the order of the loops: issuances outside, by row number, so the oldest come first without a sort.
  // The unary plus keeps the index on not_after out of it: it would demand one.
  static const std::string* sql = new std::string(absl::StrCat(
      "SELECT ", kColumns,
      " FROM issuance i CROSS JOIN spiffe_id s ON s.ref = i.spiffe_id"
      " CROSS JOIN authority a ON a.ref = i.authority CROSS JOIN caller c ON c.ref = i.caller",
      kOptional,
      " WHERE (? = 0 OR i.spiffe_id = ?) AND +i.not_after < ? AND +i.not_after >= ? AND (? = '' OR i.node = ?)"
      " AND substr(a.id, 1, ?) = ? AND (? = 0 OR x.ref IS NOT NULL) ORDER BY i.ref"));
  Query rows(database, sql->c_str());
  rows.Bind(one_id).Bind(one_id);
  rows.Bind(SecondsNotBefore(filter.expires_before)).Bind(SecondsNotBefore(filter.expires_after));
  rows.Bind(filter.node).Bind(filter.node);
  rows.Bind(static_cast<int64_t>(filter.authority_id_prefix.size())).Bind(filter.authority_id_prefix);
  rows.Bind(filter.revoked_only);
  while (rows.Next()) {
    MESHCA_ASSIGN_OR_RETURN(const IssuanceRecord record, ReadOrDataLoss(rows));
    if (!glob.empty() && !record.spiffe_id.MatchesGlob(glob)) continue;
    if (!visit(record)) break;
  }
  return rows.status();
}

absl::StatusOr<uint64_t> CountIssuanceRows(Database& database) {
  Query row(database, "SELECT coalesce(sum(count), 0) FROM expiry");
  if (!row.Next()) return row.status();
  return row.Uint();
}

absl::StatusOr<std::map<std::string, uint64_t>> CountLiveRows(Database& database, absl::Time now) {
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
    Query whole(database,
                "SELECT a.id, sum(e.count) FROM expiry e JOIN authority a ON a.ref = e.authority WHERE e.minute > ?"
                " GROUP BY a.ref HAVING sum(e.count) > 0");
    MESHCA_RETURN_IF_ERROR(add(whole.Bind(minute)));
  }
  Query part(database,
             "SELECT a.id, count(*) FROM issuance i JOIN authority a ON a.ref = i.authority"
             " WHERE i.not_after >= ? AND i.not_after < ? GROUP BY a.ref");
  MESHCA_RETURN_IF_ERROR(add(part.Bind(second).Bind((minute + 1) * kSecondsPerMinute)));
  return counts;
}

absl::StatusOr<std::optional<std::string>> CertificateHashOf(Database& database, const SerialNumber& serial) {
  Query row(database, "SELECT certificate_sha256 FROM issuance WHERE serial = ?");
  row.BindBlob(serial.bytes());
  if (row.Next()) return row.String();
  MESHCA_RETURN_IF_ERROR(row.status());
  return std::nullopt;
}

absl::StatusOr<uint64_t> PruneIssuances(Database& database, absl::Time expired_before, uint64_t rows_max) {
  struct Row {
    int64_t ref, minute, authority;
  };
  std::vector<Row> expired;
  {
    Query rows(database,
               "SELECT ref, not_after / 60, authority FROM issuance WHERE not_after < ? ORDER BY not_after LIMIT ?");
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
    MESHCA_RETURN_IF_ERROR(Query(database, "DELETE FROM issuance WHERE ref = ?").Bind(row.ref).Run());
    ++gone[{row.minute, row.authority}];
  }
  for (const auto& [bucket, rows] : gone) {
    MESHCA_RETURN_IF_ERROR(Query(database, "UPDATE expiry SET count = count - ? WHERE minute = ? AND authority = ?")
                               .Bind(rows)
                               .Bind(bucket.first)
                               .Bind(bucket.second)
                               .Run());
    MESHCA_RETURN_IF_ERROR(Query(database, "DELETE FROM expiry WHERE minute = ? AND authority = ? AND count = 0")
                               .Bind(bucket.first)
                               .Bind(bucket.second)
                               .Run());
  }
  return expired.size();
}

}  // namespace meshca::storage
