#include "storage/sqlite/sqlite_entry_apply_table.h"

#include <utility>

#include "ca/base/status.h"
#include "storage/sqlite/sqlite_entry_table.h"

namespace meshca::storage {

absl::StatusOr<uint64_t> SqliteEntryApplyTable::Begin() {
  MESHCA_RETURN_IF_ERROR(Query(database_, "INSERT INTO entry_apply(done, actor, applied_at) VALUES(0, '', 0)").Run());
  return static_cast<uint64_t>(database_.LastInsertRow());
}

absl::StatusOr<std::optional<EntryApplyRow>> SqliteEntryApplyTable::Find(uint64_t apply) {
  Query row(database_, "SELECT done, actor, applied_at FROM entry_apply WHERE ref = ?");
  row.Bind(apply);
  if (!row.Next()) {
    MESHCA_RETURN_IF_ERROR(row.status());
    return std::nullopt;
  }
  EntryApplyRow found;
  found.counts = row.Int() != 0;
  found.actor = row.String();
  found.applied_at = row.Time();
  return found;
}

absl::Status SqliteEntryApplyTable::Activate(uint64_t apply, absl::string_view actor, absl::Time applied_at) {
  return Query(database_, "UPDATE entry_apply SET done = 1, actor = ?, applied_at = ? WHERE ref = ?")
      .Bind(actor)
      .Bind(applied_at)
      .Bind(apply)
      .Run();
}

absl::Status SqliteEntryApplyTable::Delete(uint64_t apply) {
  return Query(database_, "DELETE FROM entry_apply WHERE ref = ?").Bind(apply).Run();
}

absl::Status SqliteEntryApplyTable::Visit(absl::FunctionRef<bool(uint64_t apply)> visit) {
  Query rows(database_, "SELECT ref FROM entry_apply ORDER BY ref");
  while (rows.Next()) {
    if (!visit(rows.Uint())) break;
  }
  return rows.status();
}

absl::StatusOr<uint64_t> SqliteEntryApplyTable::CountRows(uint64_t apply) {
  Query count(database_,
              "SELECT (SELECT count(*) FROM entry WHERE since = ?1 AND since <> 0) +"
              " (SELECT count(*) FROM entry WHERE until = ?1 AND until <> 0)");
  count.Bind(apply);
  const uint64_t rows = count.Next() ? count.Uint() : 0;
  MESHCA_RETURN_IF_ERROR(count.status());
  return rows;
}

absl::Status SqliteEntryApplyTable::Stage(uint64_t apply, uint64_t place, const GivenEntry& given,
                                          const RowMacs& macs) {
  const EntryColumns columns(given.entry, macs);
  Query insert(database_,
               "INSERT INTO entry(id, spiffe_id, selectors, ttl, dns_names, created_at, created_by, mac, nodes, hint,"
               " jwt_ttl, added_mac, since, place, id_made) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  return columns.BindTo(insert).Bind(apply).Bind(place).Bind(given.id_made).Run();
}

absl::StatusOr<std::optional<uint64_t>> SqliteEntryApplyTable::FindPlace(uint64_t apply, const std::string& id) {
  Query row(database_, "SELECT place FROM entry WHERE id = ? AND since = ?");
  row.Bind(id).Bind(apply);
  if (row.Next()) return row.Uint();
  MESHCA_RETURN_IF_ERROR(row.status());
  return std::nullopt;
}

absl::StatusOr<std::vector<StagedEntry>> SqliteEntryApplyTable::ReadStaged(uint64_t apply, uint64_t after_place,
                                                                           uint64_t rows_max) {
  std::vector<StagedEntry> staged;
  Query rows(database_,
             "SELECT ref, place, id_made, unchanged, id, spiffe_id, selectors, ttl, dns_names, created_at, created_by,"
             " mac, nodes, hint, jwt_ttl, added_mac FROM entry WHERE since = ? AND since <> 0 AND place > ? ORDER BY "
             "place LIMIT ?");
  rows.Bind(apply).Bind(after_place).Bind(rows_max);
  while (rows.Next()) {
    StagedEntry row;
    row.ref = rows.Int();
    row.place = rows.Uint();
    row.id_made = rows.Int() != 0;
    row.unchanged = rows.Int() != 0;
    MESHCA_ASSIGN_OR_RETURN(row.entry, ReadEntry(rows));
    staged.push_back(std::move(row));
  }
  MESHCA_RETURN_IF_ERROR(rows.status());
  return staged;
}

absl::Status SqliteEntryApplyTable::WriteId(int64_t ref, const std::string& id, const RowMacs& macs) {
  return Query(database_, "UPDATE entry SET id = ?, mac = ?, added_mac = ? WHERE ref = ?")
      .Bind(id)
      .BindBlob(macs.mac)
      .BindBlob(macs.added_mac)
      .Bind(ref)
      .Run();
}

absl::Status SqliteEntryApplyTable::MarkUnchanged(int64_t ref) {
  return Query(database_, "UPDATE entry SET unchanged = 1 WHERE ref = ?").Bind(ref).Run();
}

absl::StatusOr<std::vector<EntryApplyTable::Absent>> SqliteEntryApplyTable::ReadAbsent(uint64_t apply,
                                                                                       int64_t after_ref,
                                                                                       uint64_t rows_max) {
  std::vector<Absent> absent;
  Query rows(database_,
             "SELECT ref, id FROM live_entry WHERE ref > ? AND NOT EXISTS(SELECT 1 FROM entry AS given"
             " WHERE given.id = live_entry.id AND given.since = ?) ORDER BY ref LIMIT ?");
  rows.Bind(after_ref).Bind(apply).Bind(rows_max);
  while (rows.Next()) {
    Absent row;
    row.ref = rows.Int();
    row.id = rows.String();
    absent.push_back(std::move(row));
  }
  MESHCA_RETURN_IF_ERROR(rows.status());
  return absent;
}

absl::Status SqliteEntryApplyTable::TakeAway(uint64_t apply, int64_t ref) {
  return Query(database_, "UPDATE entry SET until = ? WHERE ref = ?").Bind(apply).Bind(ref).Run();
}

absl::StatusOr<std::vector<TakenEntry>> SqliteEntryApplyTable::ReadTaken(uint64_t apply, uint64_t rows_max) {
  std::vector<TakenEntry> taken;
  Query rows(database_,
             "SELECT ref, id, spiffe_id, selectors, ttl, dns_names, created_at, created_by, mac, nodes, hint,"
             " jwt_ttl, added_mac FROM entry"
             " WHERE until = ? AND until <> 0 LIMIT ?");
  rows.Bind(apply).Bind(rows_max);
  while (rows.Next()) {
    TakenEntry row;
    row.ref = rows.Int();
    MESHCA_ASSIGN_OR_RETURN(row.entry, ReadEntry(rows));
    taken.push_back(std::move(row));
  }
  MESHCA_RETURN_IF_ERROR(rows.status());
  return taken;
}

absl::Status SqliteEntryApplyTable::Settle(int64_t ref) {
  return Query(database_, "UPDATE entry SET since = 0, place = 0, id_made = 0 WHERE ref = ?").Bind(ref).Run();
}

absl::Status SqliteEntryApplyTable::DeleteRow(int64_t ref) {
  return Query(database_, "DELETE FROM entry WHERE ref = ?").Bind(ref).Run();
}

absl::StatusOr<uint64_t> SqliteEntryApplyTable::Undo(uint64_t apply, uint64_t rows_max) {
  MESHCA_RETURN_IF_ERROR(
      Query(database_,
            "UPDATE entry SET until = 0 WHERE ref IN (SELECT ref FROM entry WHERE until = ? AND until <> 0 LIMIT ?)")
          .Bind(apply)
          .Bind(rows_max)
          .Run());
  const uint64_t kept = static_cast<uint64_t>(database_.RowsChanged());
  MESHCA_RETURN_IF_ERROR(
      Query(database_, "DELETE FROM entry WHERE ref IN (SELECT ref FROM entry WHERE since = ? AND since <> 0 LIMIT ?)")
          .Bind(apply)
          .Bind(rows_max)
          .Run());
  return kept + static_cast<uint64_t>(database_.RowsChanged());
}

}  // namespace meshca::storage
