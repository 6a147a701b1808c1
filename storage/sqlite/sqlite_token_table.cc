#include "storage/sqlite/sqlite_token_table.h"

#include <utility>

#include "ca/base/status.h"

namespace meshca::storage {
namespace {

WithMac<JoinToken> ReadToken(Query& row) {
  WithMac<JoinToken> read;
  JoinToken& token = read.value;
  token.id = row.String();
  token.secret_sha256 = row.String();
  // An ID that does not parse leaves the token's empty, so that its MAC cannot fit either.
  auto spiffe_id = SpiffeId::Parse(row.Bytes());
  if (spiffe_id.ok()) token.spiffe_id = *std::move(spiffe_id);
  token.node = row.String();
  token.created_at = row.Time();
  token.expires_at = row.Time();
  token.created_by = row.String();
  token.used_key_sha256 = row.String();
  token.used_at = row.Time();
  read.mac = row.String();
  token.replace = row.Int() != 0;
  read.added_mac = row.String();
  return read;
}

absl::StatusOr<std::optional<WithMac<JoinToken>>> ReadOne(Query& row) {
  if (row.Next()) return ReadToken(row);
  MESHCA_RETURN_IF_ERROR(row.status());
  return std::nullopt;
}

}  // namespace

absl::Status SqliteTokenTable::Insert(const JoinToken& token, const RowMacs& macs) {
  return Query(database_,
               "INSERT INTO token(id, secret_sha256, spiffe_id, node, created_at, expires_at, created_by,"
               " used_key_sha256, used_at, mac, replace, added_mac) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .Bind(token.id)
      .BindBlob(token.secret_sha256)
      .Bind(token.spiffe_id.uri())
      .Bind(token.node)
      .Bind(token.created_at)
      .Bind(token.expires_at)
      .Bind(token.created_by)
      .BindBlob(token.used_key_sha256)
      .Bind(token.used_at)
      .BindBlob(macs.mac)
      .Bind(token.replace)
      .BindBlob(macs.added_mac)
      .Run();
}

absl::StatusOr<std::optional<WithMac<JoinToken>>> SqliteTokenTable::FindById(absl::string_view id) {
  Query row(database_,
            "SELECT id, secret_sha256, spiffe_id, node, created_at, expires_at, created_by, used_key_sha256, used_at,"
            " mac, replace, added_mac FROM token WHERE id = ?");
  return ReadOne(row.Bind(id));
}

absl::StatusOr<std::optional<WithMac<JoinToken>>> SqliteTokenTable::FindBySecret(absl::string_view secret_sha256) {
  Query row(database_,
            "SELECT id, secret_sha256, spiffe_id, node, created_at, expires_at, created_by, used_key_sha256, used_at,"
            " mac, replace, added_mac FROM token WHERE secret_sha256 = ?");
  return ReadOne(row.BindBlob(secret_sha256));
}

absl::Status SqliteTokenTable::Visit(absl::FunctionRef<absl::Status(WithMac<JoinToken>)> visit) {
  Query rows(database_,
             "SELECT id, secret_sha256, spiffe_id, node, created_at, expires_at, created_by, used_key_sha256, used_at,"
             " mac, replace, added_mac FROM token ORDER BY created_at, id");
  while (rows.Next()) MESHCA_RETURN_IF_ERROR(visit(ReadToken(rows)));
  return rows.status();
}

absl::Status SqliteTokenTable::WriteUse(const JoinToken& token, absl::string_view mac) {
  return Query(database_, "UPDATE token SET used_key_sha256 = ?, used_at = ?, mac = ? WHERE id = ?")
      .BindBlob(token.used_key_sha256)
      .Bind(token.used_at)
      .BindBlob(mac)
      .Bind(token.id)
      .Run();
}

absl::StatusOr<bool> SqliteTokenTable::Delete(absl::string_view id) {
  MESHCA_RETURN_IF_ERROR(Query(database_, "DELETE FROM token WHERE id = ?").Bind(id).Run());
  return database_.RowsChanged() != 0;
}

absl::Status SqliteTokenTable::DeleteOfNode(absl::string_view node) {
  return Query(database_, "DELETE FROM token WHERE node = ?").Bind(node).Run();
}

absl::Status SqliteTokenTable::DeleteAll() { return Query(database_, "DELETE FROM token").Run(); }

absl::StatusOr<uint64_t> SqliteTokenTable::Prune(absl::Time expired_before, uint64_t rows_max) {
  MESHCA_RETURN_IF_ERROR(Query(database_,
                               "DELETE FROM token WHERE id IN"
                               " (SELECT id FROM token WHERE expires_at < ? ORDER BY expires_at LIMIT ?)")
                             .Bind(expired_before)
                             .Bind(rows_max)
                             .Run());
  return static_cast<uint64_t>(database_.RowsChanged());
}

}  // namespace meshca::storage
