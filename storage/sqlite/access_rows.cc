#include "storage/sqlite/access_rows.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/base/utc_text.h"
#include "storage/canonical_bytes.h"
#include "storage/sqlite/authority_rows.h"
#include "storage/sqlite/row_mac.h"
#include "storage/store.h"

namespace meshca::storage {
namespace {

std::string MacOf(const JoinToken& token, const KeyEncryption& keys) {
  CanonicalBytes row;
  row.Add(token.id).Add(token.secret_sha256).Add(token.spiffe_id.uri()).Add(token.node);
  row.Add(token.created_at).Add(token.expires_at).Add(token.created_by);
  row.Add(token.used_key_sha256).Add(token.used_at);
  return RowMac(keys, "token", row);
}

absl::StatusOr<JoinToken> ReadToken(Query& row, const KeyEncryption& keys) {
  JoinToken token;
  token.id = row.String();
  token.secret_sha256 = row.String();
  auto spiffe_id = SpiffeId::Parse(row.Bytes());
  if (spiffe_id.ok()) token.spiffe_id = *std::move(spiffe_id);
  token.node = row.String();
  token.created_at = row.Time();
  token.expires_at = row.Time();
  token.created_by = row.String();
  token.used_key_sha256 = row.String();
  token.used_at = row.Time();
  // An ID that does not parse leaves the token's empty, so that its MAC cannot fit either.
  MESHCA_RETURN_IF_ERROR(CheckRowMac("token", token.id, row.Bytes(), MacOf(token, keys)));
  return token;
}

absl::Status Refuse(absl::string_view message, absl::string_view reason) {
  return WithReason(absl::UnauthenticatedError(absl::StrCat("join token: ", message)), reason);
}

}  // namespace

absl::Status InsertToken(Database& database, const KeyEncryption& keys, const JoinToken& token) {
  const std::string mac = MacOf(token, keys);
  absl::Status status = Query(database,
                              "INSERT INTO token(id, secret_sha256, spiffe_id, node, created_at, expires_at,"
                              " created_by, used_key_sha256, used_at, mac) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
                            .Bind(token.id)
                            .BindBlob(token.secret_sha256)
                            .Bind(token.spiffe_id.uri())
                            .Bind(token.node)
                            .Bind(token.created_at)
                            .Bind(token.expires_at)
                            .Bind(token.created_by)
                            .BindBlob(token.used_key_sha256)
                            .Bind(token.used_at)
                            .BindBlob(mac)
                            .Run();
  if (absl::IsAlreadyExists(status)) return absl::AlreadyExistsError(absl::StrCat("join token: ", token.id, " exists"));
  return status;
}

absl::StatusOr<JoinToken> SelectToken(Database& database, const KeyEncryption& keys, absl::string_view secret_sha256) {
  Query row(database,
            "SELECT id, secret_sha256, spiffe_id, node, created_at, expires_at, created_by, used_key_sha256, used_at,"
            " mac FROM token WHERE secret_sha256 = ?");
  row.BindBlob(secret_sha256);
  if (row.Next()) return ReadToken(row, keys);
  MESHCA_RETURN_IF_ERROR(row.status());
  return absl::NotFoundError("join token: unknown");
}

absl::StatusOr<std::vector<JoinToken>> SelectTokens(Database& database, const KeyEncryption& keys) {
  std::vector<JoinToken> tokens;
  Query rows(database,
             "SELECT id, secret_sha256, spiffe_id, node, created_at, expires_at, created_by, used_key_sha256, used_at,"
             " mac FROM token ORDER BY created_at, id");
  while (rows.Next()) {
    MESHCA_ASSIGN_OR_RETURN(JoinToken token, ReadToken(rows, keys));
    tokens.push_back(std::move(token));
  }
  MESHCA_RETURN_IF_ERROR(rows.status());
  return tokens;
}

absl::Status DeleteTokenRow(Database& database, absl::string_view id) {
  MESHCA_RETURN_IF_ERROR(Query(database, "DELETE FROM token WHERE id = ?").Bind(id).Run());
  if (database.RowsChanged() == 0) return absl::NotFoundError(absl::StrCat("join token: no token ", id));
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> PruneTokens(Database& database, absl::Time expired_before, uint64_t rows_max) {
  MESHCA_RETURN_IF_ERROR(Query(database,
                               "DELETE FROM token WHERE id IN"
                               " (SELECT id FROM token WHERE expires_at < ? ORDER BY expires_at LIMIT ?)")
                             .Bind(expired_before)
                             .Bind(rows_max)
                             .Run());
  return static_cast<uint64_t>(database.RowsChanged());
}

absl::StatusOr<Redemption> CheckRedemption(Database& database, const KeyEncryption& keys,
                                           const IssuanceRecord& record) {
  Query row(database,
            "SELECT id, secret_sha256, spiffe_id, node, created_at, expires_at, created_by, used_key_sha256, used_at,"
            " mac FROM token WHERE id = ?");
  row.Bind(record.token_id);
  if (!row.Next()) {
    MESHCA_RETURN_IF_ERROR(row.status());
    return Refuse("unknown: it was deleted; ask for a new one (meshca token create)", kTokenUnknown);
  }
  Redemption redemption;
  MESHCA_ASSIGN_OR_RETURN(redemption.token, ReadToken(row, keys));
  const JoinToken& token = redemption.token;
  if (record.issued_at >= token.expires_at) {
    return Refuse(
        absl::StrCat("expired at ", OffsetText(token.expires_at), "; ask for a new one (meshca token create)"),
        kTokenExpired);
  }
  redemption.first = token.used_key_sha256.empty();
  if (!redemption.first && token.used_key_sha256 != record.key_sha256) {
    return Refuse("was used for another key; ask for a new one (meshca token create)", kTokenUsed);
  }
  return redemption;
}

absl::Status MarkTokenUsed(Database& database, const KeyEncryption& keys, JoinToken token,
                           const IssuanceRecord& record) {
  token.used_key_sha256 = record.key_sha256;
  token.used_at = record.issued_at;
  const std::string mac = MacOf(token, keys);
  return Query(database, "UPDATE token SET used_key_sha256 = ?, used_at = ?, mac = ? WHERE id = ?")
      .BindBlob(token.used_key_sha256)
      .Bind(token.used_at)
      .BindBlob(mac)
      .Bind(token.id)
      .Run();
}

std::string EntryMac(const RegistrationEntry& entry, const KeyEncryption& keys) {
  CanonicalBytes row;
  row.Add(entry.id).Add(entry.spiffe_id.uri()).AddAll(entry.selectors);
  row.Add(static_cast<uint64_t>(absl::ToInt64Microseconds(entry.ttl))).AddAll(entry.dns_names);
  row.Add(entry.created_at).Add(entry.created_by);
  return RowMac(keys, "entry", row);
}

absl::StatusOr<RegistrationEntry> ReadEntry(Query& row, const KeyEncryption& keys) {
  RegistrationEntry entry;
  entry.id = row.String();
  auto spiffe_id = SpiffeId::Parse(row.Bytes());
  if (spiffe_id.ok()) entry.spiffe_id = *std::move(spiffe_id);
  MESHCA_ASSIGN_OR_RETURN(entry.selectors, UnpackStrings(row.Bytes()));
  entry.ttl = absl::Microseconds(row.Int());
  MESHCA_ASSIGN_OR_RETURN(entry.dns_names, UnpackStrings(row.Bytes()));
  entry.created_at = row.Time();
  entry.created_by = row.String();
  MESHCA_RETURN_IF_ERROR(CheckRowMac("entry", entry.id, row.Bytes(), EntryMac(entry, keys)));
  return entry;
}

absl::Status InsertEntry(Database& database, const KeyEncryption& keys, const RegistrationEntry& entry) {
  Query present(database, "SELECT 1 FROM live_entry WHERE id = ?");
  present.Bind(entry.id);
  if (present.Next()) {
    return absl::AlreadyExistsError(
        absl::StrCat("entry ", entry.id, " is there already; `meshca entry show ", entry.id, "` shows it"));
  }
  MESHCA_RETURN_IF_ERROR(present.status());
  return UpsertEntry(database, keys, entry);
}

absl::Status UpsertEntry(Database& database, const KeyEncryption& keys, const RegistrationEntry& entry) {
  const std::string selectors = CanonicalBytes().AddAll(entry.selectors).bytes();
  {
    // Looked up, for no index knows which rows count.
    Query other(database, "SELECT 1 FROM live_entry WHERE spiffe_id = ? AND selectors = ? AND id <> ?");
    other.Bind(entry.spiffe_id.uri()).BindBlob(selectors).Bind(entry.id);
    if (other.Next()) {
      return absl::AlreadyExistsError(
          absl::StrCat("entry: another one already gives ", entry.spiffe_id.uri(), " to these selectors"));
    }
    MESHCA_RETURN_IF_ERROR(other.status());
  }
  int64_t ref = 0;
  {
    Query old(database, "SELECT ref FROM live_entry WHERE id = ?");
    old.Bind(entry.id);
    if (old.Next()) ref = old.Int();
    MESHCA_RETURN_IF_ERROR(old.status());
  }
  const std::string dns_names = CanonicalBytes().AddAll(entry.dns_names).bytes();
  const std::string mac = EntryMac(entry, keys);
  Query write(database, ref == 0
                            ? "INSERT INTO entry(id, spiffe_id, selectors, ttl, dns_names, created_at, created_by, mac)"
                              " VALUES(?, ?, ?, ?, ?, ?, ?, ?)"
                            : "UPDATE entry SET id = ?, spiffe_id = ?, selectors = ?, ttl = ?, dns_names = ?,"
                              " created_at = ?, created_by = ?, mac = ? WHERE ref = ?");
  write.Bind(entry.id).Bind(entry.spiffe_id.uri()).BindBlob(selectors).Bind(absl::ToInt64Microseconds(entry.ttl));
  write.BindBlob(dns_names).Bind(entry.created_at).Bind(entry.created_by).BindBlob(mac);
  if (ref != 0) write.Bind(ref);
  return write.Run();
}

absl::StatusOr<std::vector<RegistrationEntry>> SelectEntries(Database& database, const KeyEncryption& keys) {
  std::vector<RegistrationEntry> entries;
  Query rows(database,
             "SELECT id, spiffe_id, selectors, ttl, dns_names, created_at, created_by, mac FROM live_entry"
             " ORDER BY created_at, id");
  while (rows.Next()) {
    MESHCA_ASSIGN_OR_RETURN(RegistrationEntry entry, ReadEntry(rows, keys));
    entries.push_back(std::move(entry));
  }
  MESHCA_RETURN_IF_ERROR(rows.status());
  return entries;
}

absl::StatusOr<bool> EntryGives(Database& database, const KeyEncryption& keys, const std::string& id,
                                const SpiffeId& spiffe_id, absl::Time issued_at) {
  // Either way by a unique index: over the id, or over (spiffe_id, selectors).
  Query row(database, id.empty() ? "SELECT id, spiffe_id, selectors, ttl, dns_names, created_at, created_by, mac"
                                   " FROM live_entry WHERE spiffe_id = ? LIMIT 1"
                                 : "SELECT id, spiffe_id, selectors, ttl, dns_names, created_at, created_by, mac"
                                   " FROM live_entry WHERE id = ?");
  row.Bind(id.empty() ? spiffe_id.uri() : id);
  if (!row.Next()) {
    MESHCA_RETURN_IF_ERROR(row.status());
    return false;
  }
  MESHCA_ASSIGN_OR_RETURN(const RegistrationEntry entry, ReadEntry(row, keys));
  return entry.spiffe_id == spiffe_id && (id.empty() || entry.created_at <= issued_at);
}

absl::Status DeleteEntryRow(Database& database, absl::string_view id) {
  MESHCA_RETURN_IF_ERROR(
      Query(database, "DELETE FROM entry WHERE ref IN (SELECT ref FROM live_entry WHERE id = ?)").Bind(id).Run());
  if (database.RowsChanged() == 0) return absl::NotFoundError(absl::StrCat("entry: no entry ", id));
  return absl::OkStatus();
}

}  // namespace meshca::storage
