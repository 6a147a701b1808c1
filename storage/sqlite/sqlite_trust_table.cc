#include "storage/sqlite/sqlite_trust_table.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "storage/row_mac.h"
#include "storage/sqlite/packed_strings.h"

namespace meshca::storage {
namespace {

absl::StatusOr<WithMac<StoredAuthority>> ReadAuthority(Query& row) {
  WithMac<StoredAuthority> read;
  StoredAuthority& authority = read.value;
  authority.id = row.String();
  authority.role = static_cast<AuthorityRole>(row.Int());
  authority.state = static_cast<AuthorityState>(row.Int());
  authority.tainted = row.Int() != 0;
  authority.root_id = row.String();
  MESHCA_ASSIGN_OR_RETURN(authority.chain_der, UnpackStrings(row.Bytes()));
  authority.key_reference = row.String();
  authority.sealed_key = row.String();
  authority.created_at = row.Time();
  authority.activated_at = row.Time();
  authority.retired_at = row.Time();
  authority.exported = row.Int() != 0;
  read.mac = row.String();
  return read;
}

// The columns that ReadJwtAuthority reads: the value's members, in order, and the MAC.
constexpr char kJwtColumns[] =
    "key_id, state, tainted, public_key, key_reference, sealed_key, published_sequence, created_at, activated_at,"
    " replaced_at, retired_at, mac";

WithMac<StoredJwtAuthority> ReadJwtAuthority(Query& row) {
  WithMac<StoredJwtAuthority> read;
  StoredJwtAuthority& authority = read.value;
  authority.key_id = row.String();
  authority.state = static_cast<AuthorityState>(row.Int());
  authority.tainted = row.Int() != 0;
  authority.public_key_der = row.String();
  authority.key_reference = row.String();
  authority.sealed_key = row.String();
  authority.published_sequence = row.Uint();
  authority.created_at = row.Time();
  authority.activated_at = row.Time();
  authority.replaced_at = row.Time();
  authority.retired_at = row.Time();
  read.mac = row.String();
  return read;
}

absl::StatusOr<WithMac<BundleJwtKeys>> ReadBundleJwtKeys(Query& row) {
  WithMac<BundleJwtKeys> read;
  read.value.sequence_number = row.Uint();
  MESHCA_ASSIGN_OR_RETURN(read.value.keys_der, UnpackStrings(row.Bytes()));
  read.mac = row.String();
  return read;
}

absl::StatusOr<WithMac<StoredBundle>> ReadBundle(Query& row) {
  WithMac<StoredBundle> read;
  read.value.sequence_number = row.Uint();
  MESHCA_ASSIGN_OR_RETURN(read.value.roots_der, UnpackStrings(row.Bytes()));
  read.value.published_at = row.Time();
  read.mac = row.String();
  return read;
}

// The columns that ReadRotation reads: the value's members, in order, and the MAC.
constexpr char kRotationColumns[] =
    "number, step, old_root_id, new_root_id, automatic, emergency, rolled_back, external_confirmed,"
    " deadline, actor, started_at, step_at, bundle_sequence, published_at, retire_sequence, forced, mac";

WithMac<RootRotation> ReadRotation(Query& row) {
  WithMac<RootRotation> read;
  RootRotation& rotation = read.value;
  rotation.number = row.Uint();
  rotation.step = static_cast<RotationStep>(row.Int());
  rotation.old_root_id = row.String();
  rotation.new_root_id = row.String();
  rotation.automatic = row.Int() != 0;
  rotation.emergency = row.Int() != 0;
  rotation.rolled_back = row.Int() != 0;
  rotation.external_confirmed = row.Int() != 0;
  rotation.deadline = row.Time();
  rotation.actor = row.String();
  rotation.started_at = row.Time();
  rotation.step_at = row.Time();
  rotation.bundle_sequence = row.Uint();
  rotation.published_at = row.Time();
  rotation.retire_sequence = row.Uint();
  rotation.forced = row.String();
  read.mac = row.String();
  return read;
}

}  // namespace

absl::StatusOr<TrustHead> SqliteTrustTable::ReadHead() {
  Query row(database_, "SELECT trust_domain, revision FROM meta");
  // Every migration leaves the one row there: a file without it is not what we wrote.
  if (!row.Next()) return row.status().ok() ? RowForged("meta", "1") : row.status();
  TrustHead head;
  head.trust_domain = row.String();
  head.revision = row.Uint();
  return head;
}

absl::Status SqliteTrustTable::WriteHead(const TrustHead& head) {
  return Query(database_, "UPDATE meta SET trust_domain = ?, revision = ?")
      .Bind(head.trust_domain)
      .Bind(head.revision)
      .Run();
}

absl::Status SqliteTrustTable::VisitAuthorities(absl::FunctionRef<absl::Status(WithMac<StoredAuthority>)> visit) {
  Query rows(database_,
             "SELECT id, role, state, tainted, root_id, chain, key_reference, sealed_key, created_at,"
             " activated_at, retired_at, exported, mac FROM authority ORDER BY ref");
  while (rows.Next()) {
    MESHCA_ASSIGN_OR_RETURN(WithMac<StoredAuthority> authority, ReadAuthority(rows));
    MESHCA_RETURN_IF_ERROR(visit(std::move(authority)));
  }
  return rows.status();
}

absl::Status SqliteTrustTable::PutAuthority(const StoredAuthority& authority, absl::string_view mac) {
  const std::string chain = PackStrings(authority.chain_der);
  return Query(database_,
               "INSERT INTO authority(id, role, state, tainted, root_id, chain, key_reference, sealed_key, created_at,"
               " activated_at, retired_at, exported, mac) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
               " ON CONFLICT(id) DO UPDATE SET role = excluded.role, state = excluded.state, tainted = "
               "excluded.tainted, root_id = excluded.root_id,"
               " chain = excluded.chain, key_reference = excluded.key_reference, sealed_key = excluded.sealed_key,"
               " created_at = excluded.created_at, activated_at = excluded.activated_at,"
               " retired_at = excluded.retired_at, exported = excluded.exported, mac = excluded.mac")
      .Bind(authority.id)
      .Bind(static_cast<int>(authority.role))
      .Bind(static_cast<int>(authority.state))
      .Bind(authority.tainted)
      .Bind(authority.root_id)
      .BindBlob(chain)
      .Bind(authority.key_reference)
      .BindBlob(authority.sealed_key)
      .Bind(authority.created_at)
      .Bind(authority.activated_at)
      .Bind(authority.retired_at)
      .Bind(authority.exported)
      .BindBlob(mac)
      .Run();
}

absl::Status SqliteTrustTable::DeleteAuthority(const std::string& id) {
  return Query(database_, "DELETE FROM authority WHERE id = ?").Bind(id).Run();
}

absl::StatusOr<std::optional<Signer>> SqliteTrustTable::FindSigner(const std::string& id) {
  Query row(database_, "SELECT ref, state FROM authority WHERE id = ?");
  row.Bind(id);
  if (!row.Next()) {
    MESHCA_RETURN_IF_ERROR(row.status());
    return std::nullopt;
  }
  Signer signer;
  signer.number = row.Int();
  signer.state = static_cast<AuthorityState>(row.Int());
  return signer;
}

absl::Status SqliteTrustTable::VisitJwtAuthorities(absl::FunctionRef<absl::Status(WithMac<StoredJwtAuthority>)> visit) {
  static const std::string* sql =
      new std::string(absl::StrCat("SELECT ", kJwtColumns, " FROM jwt_authority ORDER BY ref"));
  Query rows(database_, sql->c_str());
  while (rows.Next()) MESHCA_RETURN_IF_ERROR(visit(ReadJwtAuthority(rows)));
  return rows.status();
}

absl::Status SqliteTrustTable::PutJwtAuthority(const StoredJwtAuthority& authority, absl::string_view mac) {
  static const std::string* sql = new std::string(absl::StrCat(
      "INSERT INTO jwt_authority(", kJwtColumns,
      ") VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT(key_id) DO UPDATE SET state = excluded.state,"
      " tainted = excluded.tainted, public_key = excluded.public_key, key_reference = excluded.key_reference,"
      " sealed_key = excluded.sealed_key, published_sequence = excluded.published_sequence,"
      " created_at = excluded.created_at, activated_at = excluded.activated_at,"
      " replaced_at = excluded.replaced_at, retired_at = excluded.retired_at, mac = excluded.mac"));
  return Query(database_, sql->c_str())
      .Bind(authority.key_id)
      .Bind(static_cast<int>(authority.state))
      .Bind(authority.tainted)
      .BindBlob(authority.public_key_der)
      .Bind(authority.key_reference)
      .BindBlob(authority.sealed_key)
      .Bind(authority.published_sequence)
      .Bind(authority.created_at)
      .Bind(authority.activated_at)
      .Bind(authority.replaced_at)
      .Bind(authority.retired_at)
      .BindBlob(mac)
      .Run();
}

absl::StatusOr<uint64_t> SqliteTrustTable::AnswerOf(Query& query) {
  if (!query.Next()) {
    return query.status().ok() ? absl::InternalError("database: a question was not answered") : query.status();
  }
  return query.Uint();
}

absl::StatusOr<uint64_t> SqliteTrustTable::HighestBundleNumber() {
  Query row(database_, "SELECT max(sequence) FROM bundle");
  return AnswerOf(row);
}

absl::StatusOr<std::optional<WithMac<StoredBundle>>> SqliteTrustTable::FindNewestBundle() {
  Query row(database_, "SELECT sequence, roots, published_at, mac FROM bundle ORDER BY sequence DESC LIMIT 1");
  if (row.Next()) return ReadBundle(row);
  MESHCA_RETURN_IF_ERROR(row.status());
  return std::nullopt;
}

absl::Status SqliteTrustTable::VisitBundles(absl::FunctionRef<absl::Status(WithMac<StoredBundle>)> visit) {
  Query rows(database_, "SELECT sequence, roots, published_at, mac FROM bundle");
  while (rows.Next()) {
    MESHCA_ASSIGN_OR_RETURN(WithMac<StoredBundle> bundle, ReadBundle(rows));
    MESHCA_RETURN_IF_ERROR(visit(std::move(bundle)));
  }
  return rows.status();
}

absl::Status SqliteTrustTable::InsertBundle(const StoredBundle& bundle, absl::string_view mac) {
  const std::string roots = PackStrings(bundle.roots_der);
  return Query(database_, "INSERT INTO bundle(sequence, roots, published_at, mac) VALUES(?, ?, ?, ?)")
      .Bind(bundle.sequence_number)
      .BindBlob(roots)
      .Bind(bundle.published_at)
      .BindBlob(mac)
      .Run();
}

absl::StatusOr<std::optional<WithMac<BundleJwtKeys>>> SqliteTrustTable::FindBundleJwtKeys(uint64_t sequence_number) {
  Query row(database_, "SELECT sequence, keys, mac FROM bundle_jwt_keys WHERE sequence = ?");
  row.Bind(sequence_number);
  if (row.Next()) return ReadBundleJwtKeys(row);
  MESHCA_RETURN_IF_ERROR(row.status());
  return std::nullopt;
}

absl::Status SqliteTrustTable::VisitBundleJwtKeys(absl::FunctionRef<absl::Status(WithMac<BundleJwtKeys>)> visit) {
  Query rows(database_, "SELECT sequence, keys, mac FROM bundle_jwt_keys");
  while (rows.Next()) {
    MESHCA_ASSIGN_OR_RETURN(WithMac<BundleJwtKeys> keys, ReadBundleJwtKeys(rows));
    MESHCA_RETURN_IF_ERROR(visit(std::move(keys)));
  }
  return rows.status();
}

absl::Status SqliteTrustTable::InsertBundleJwtKeys(const BundleJwtKeys& keys, absl::string_view mac) {
  const std::string packed = PackStrings(keys.keys_der);
  return Query(database_, "INSERT INTO bundle_jwt_keys(sequence, keys, mac) VALUES(?, ?, ?)")
      .Bind(keys.sequence_number)
      .BindBlob(packed)
      .BindBlob(mac)
      .Run();
}

absl::StatusOr<std::optional<WithMac<RootRotation>>> SqliteTrustTable::FindNewestRotation() {
  static const std::string* sql =
      new std::string(absl::StrCat("SELECT ", kRotationColumns, " FROM rotation ORDER BY number DESC LIMIT 1"));
  Query row(database_, sql->c_str());
  if (row.Next()) return ReadRotation(row);
  MESHCA_RETURN_IF_ERROR(row.status());
  return std::nullopt;
}

absl::Status SqliteTrustTable::VisitRotations(absl::FunctionRef<absl::Status(WithMac<RootRotation>)> visit) {
  static const std::string* sql = new std::string(absl::StrCat("SELECT ", kRotationColumns, " FROM rotation"));
  Query rows(database_, sql->c_str());
  while (rows.Next()) MESHCA_RETURN_IF_ERROR(visit(ReadRotation(rows)));
  return rows.status();
}

absl::StatusOr<uint64_t> SqliteTrustTable::FindRunningRotationBeside(uint64_t number) {
  // The unique index would refuse a second one too, but could not say which runs. 6 is RotationStep::kDone.
  Query row(database_, "SELECT coalesce(max(number), 0) FROM rotation WHERE step <> 6 AND number <> ?");
  return AnswerOf(row.Bind(number));
}

absl::StatusOr<uint64_t> SqliteTrustTable::HighestRotationNumber() {
  Query row(database_, "SELECT coalesce(max(number), 0) FROM rotation");
  return AnswerOf(row);
}

absl::StatusOr<bool> SqliteTrustTable::HasRotation(uint64_t number) {
  Query row(database_, "SELECT EXISTS(SELECT 1 FROM rotation WHERE number = ?)");
  MESHCA_ASSIGN_OR_RETURN(const uint64_t there, AnswerOf(row.Bind(number)));
  return there != 0;
}

absl::Status SqliteTrustTable::PutRotation(const RootRotation& rotation, absl::string_view mac) {
  // Not REPLACE, which would set the columns of a newer meshca back to their defaults.
  static const std::string* sql = new std::string(
      absl::StrCat("INSERT INTO rotation(", kRotationColumns,
                   ") VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT(number) DO UPDATE SET"
                   " step = excluded.step, old_root_id = excluded.old_root_id, new_root_id ="
                   " excluded.new_root_id, automatic = excluded.automatic, emergency = excluded.emergency,"
                   " rolled_back = excluded.rolled_back, external_confirmed = excluded.external_confirmed,"
                   " deadline = excluded.deadline, actor = excluded.actor, started_at ="
                   " excluded.started_at, step_at = excluded.step_at, bundle_sequence ="
                   " excluded.bundle_sequence, published_at = excluded.published_at, retire_sequence ="
                   " excluded.retire_sequence, forced = excluded.forced, mac = excluded.mac"));
  return Query(database_, sql->c_str())
      .Bind(rotation.number)
      .Bind(static_cast<int>(rotation.step))
      .Bind(rotation.old_root_id)
      .Bind(rotation.new_root_id)
      .Bind(rotation.automatic)
      .Bind(rotation.emergency)
      .Bind(rotation.rolled_back)
      .Bind(rotation.external_confirmed)
      .Bind(rotation.deadline)
      .Bind(rotation.actor)
      .Bind(rotation.started_at)
      .Bind(rotation.step_at)
      .Bind(rotation.bundle_sequence)
      .Bind(rotation.published_at)
      .Bind(rotation.retire_sequence)
      .Bind(rotation.forced)
      .BindBlob(mac)
      .Run();
}

absl::Status SqliteTrustTable::DeleteRotation(uint64_t number) {
  return Query(database_, "DELETE FROM rotation WHERE number = ?").Bind(number).Run();
}

}  // namespace meshca::storage
