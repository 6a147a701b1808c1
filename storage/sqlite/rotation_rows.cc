#include "storage/sqlite/rotation_rows.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "storage/canonical_bytes.h"
#include "storage/sqlite/row_mac.h"

namespace meshca::storage {
namespace {

std::string MacOf(const RootRotation& rotation, const KeyEncryption& keys) {
  CanonicalBytes row;
  row.Add(rotation.number).Add(static_cast<uint64_t>(rotation.step));
  row.Add(rotation.old_root_id).Add(rotation.new_root_id);
  row.Add(static_cast<uint64_t>(rotation.automatic)).Add(static_cast<uint64_t>(rotation.emergency));
  row.Add(static_cast<uint64_t>(rotation.rolled_back)).Add(static_cast<uint64_t>(rotation.external_confirmed));
  row.Add(rotation.deadline).Add(rotation.actor).Add(rotation.started_at).Add(rotation.step_at);
  row.Add(rotation.bundle_sequence).Add(rotation.published_at).Add(rotation.retire_sequence).Add(rotation.forced);
  return RowMac(keys, "rotation", row);
}

// The columns that ReadRotation reads: the value's members, in order, and the MAC.
constexpr char kColumns[] =
    "number, step, old_root_id, new_root_id, automatic, emergency, rolled_back, external_confirmed,"
    " deadline, actor, started_at, step_at, bundle_sequence, published_at, retire_sequence, forced, mac";

absl::StatusOr<RootRotation> ReadRotation(Query& row, const KeyEncryption& keys) {
  RootRotation rotation;
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
  MESHCA_RETURN_IF_ERROR(CheckRowMac("rotation", absl::StrCat(rotation.number), row.Bytes(), MacOf(rotation, keys)));
  return rotation;
}

absl::Status CheckPlace(Database& database, const RootRotation& rotation) {
  {
    Query running(database, "SELECT number FROM rotation WHERE step <> 6 AND number <> ?");
    if (running.Bind(rotation.number).Next()) {
      return absl::FailedPreconditionError(absl::StrCat("rotation ", rotation.number, ": rotation ", running.Uint(),
                                                        " has not ended (meshca root status)"));
    }
    MESHCA_RETURN_IF_ERROR(running.status());
  }
  Query later(database,
              "SELECT max(number) FROM rotation HAVING max(number) > ?1 AND"
              " NOT EXISTS (SELECT 1 FROM rotation WHERE number = ?1)");
  if (later.Bind(rotation.number).Next()) {
    return absl::FailedPreconditionError(
        absl::StrCat("rotation ", rotation.number, ": its number is not above ", later.Uint()));
  }
  return later.status();
}

}  // namespace

absl::StatusOr<std::optional<RootRotation>> SelectNewestRotation(Database& database, const KeyEncryption& keys) {
  static const std::string* sql =
      new std::string(absl::StrCat("SELECT ", kColumns, " FROM rotation ORDER BY number DESC LIMIT 1"));
  Query row(database, sql->c_str());
  if (row.Next()) return ReadRotation(row, keys);
  MESHCA_RETURN_IF_ERROR(row.status());
  return std::nullopt;
}

absl::Status UpsertRotation(Database& database, const KeyEncryption& keys, const RootRotation& rotation) {
  if (rotation.number == 0) return absl::InvalidArgumentError("rotation: the first number is 1");
  // The unique index would refuse a second one too, but could not say which runs.
  MESHCA_RETURN_IF_ERROR(CheckPlace(database, rotation));
  const std::string mac = MacOf(rotation, keys);
  // Not REPLACE, which would set the columns of a newer meshca back to their defaults.
  static const std::string* sql = new std::string(
      absl::StrCat("INSERT INTO rotation(", kColumns,
                   ") VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT(number) DO UPDATE SET"
                   " step = excluded.step, old_root_id = excluded.old_root_id, new_root_id ="
                   " excluded.new_root_id, automatic = excluded.automatic, emergency = excluded.emergency,"
                   " rolled_back = excluded.rolled_back, external_confirmed = excluded.external_confirmed,"
                   " deadline = excluded.deadline, actor = excluded.actor, started_at ="
                   " excluded.started_at, step_at = excluded.step_at, bundle_sequence ="
                   " excluded.bundle_sequence, published_at = excluded.published_at, retire_sequence ="
                   " excluded.retire_sequence, forced = excluded.forced, mac = excluded.mac"));
  return Query(database, sql->c_str())
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

absl::Status DeleteRotation(Database& database, uint64_t number) {
  return Query(database, "DELETE FROM rotation WHERE number = ?").Bind(number).Run();
}

absl::Status VerifyRotations(Database& database, const KeyEncryption& keys) {
  static const std::string* sql = new std::string(absl::StrCat("SELECT ", kColumns, " FROM rotation"));
  Query rows(database, sql->c_str());
  while (rows.Next()) MESHCA_RETURN_IF_ERROR(ReadRotation(rows, keys).status());
  return rows.status();
}

}  // namespace meshca::storage
