#include "storage/sqlite/sqlite_entry_table.h"

#include <utility>

#include "ca/base/status.h"
#include "storage/sqlite/packed_strings.h"

namespace meshca::storage {
namespace {

absl::StatusOr<std::optional<LiveEntry>> ReadLive(Query& row) {
  if (!row.Next()) {
    MESHCA_RETURN_IF_ERROR(row.status());
    return std::nullopt;
  }
  LiveEntry live;
  live.ref = row.Int();
  MESHCA_ASSIGN_OR_RETURN(live.entry, ReadEntry(row));
  return live;
}

}  // namespace

EntryColumns::EntryColumns(const RegistrationEntry& entry, const RowMacs& macs)
    : entry_(entry),
      macs_(macs),
      selectors_(PackStrings(entry.selectors)),
      dns_names_(PackStrings(entry.dns_names)),
      nodes_(PackStrings(entry.nodes)) {}

Query& EntryColumns::BindTo(Query& query) const {
  return query.Bind(entry_.id)
      .Bind(entry_.spiffe_id.uri())
      .BindBlob(selectors_)
      .Bind(absl::ToInt64Microseconds(entry_.ttl))
      .BindBlob(dns_names_)
      .Bind(entry_.created_at)
      .Bind(entry_.created_by)
      .BindBlob(macs_.mac)
      .BindBlob(nodes_)
      .Bind(entry_.hint)
      .Bind(absl::ToInt64Microseconds(entry_.jwt_ttl))
      .BindBlob(macs_.added_mac);
}

absl::StatusOr<WithMac<RegistrationEntry>> ReadEntry(Query& row) {
  WithMac<RegistrationEntry> read;
  RegistrationEntry& entry = read.value;
  entry.id = row.String();
  // An ID that does not parse leaves the entry's empty, so that its MAC cannot fit either.
  auto spiffe_id = SpiffeId::Parse(row.Bytes());
  if (spiffe_id.ok()) entry.spiffe_id = *std::move(spiffe_id);
  MESHCA_ASSIGN_OR_RETURN(entry.selectors, UnpackStrings(row.Bytes()));
  entry.ttl = absl::Microseconds(row.Int());
  MESHCA_ASSIGN_OR_RETURN(entry.dns_names, UnpackStrings(row.Bytes()));
  entry.created_at = row.Time();
  entry.created_by = row.String();
  read.mac = row.String();
  MESHCA_ASSIGN_OR_RETURN(entry.nodes, UnpackStrings(row.Bytes()));
  entry.hint = row.String();
  entry.jwt_ttl = absl::Microseconds(row.Int());
  read.added_mac = row.String();
  return read;
}

// Either way by a unique index: over the id, or over (spiffe_id, selectors, nodes).
absl::StatusOr<std::optional<LiveEntry>> SqliteEntryTable::FindById(const std::string& id) {
  Query row(database_,
            "SELECT ref, id, spiffe_id, selectors, ttl, dns_names, created_at, created_by, mac, nodes,"
            " hint, jwt_ttl, added_mac FROM live_entry"
            " WHERE id = ?");
  return ReadLive(row.Bind(id));
}

absl::StatusOr<std::optional<LiveEntry>> SqliteEntryTable::FindByIdentity(const SpiffeId& spiffe_id) {
  Query row(database_,
            "SELECT ref, id, spiffe_id, selectors, ttl, dns_names, created_at, created_by, mac, nodes,"
            " hint, jwt_ttl, added_mac FROM live_entry"
            " WHERE spiffe_id = ? AND nodes = ? LIMIT 1");
  const std::string no_nodes = PackStrings({});
  return ReadLive(row.Bind(spiffe_id.uri()).BindBlob(no_nodes));
}

absl::StatusOr<std::optional<std::string>> SqliteEntryTable::FindHolder(const RegistrationEntry& entry) {
  const std::string selectors = PackStrings(entry.selectors);
  const std::string nodes = PackStrings(entry.nodes);
  Query row(database_, "SELECT id FROM live_entry WHERE spiffe_id = ? AND selectors = ? AND nodes = ?");
  row.Bind(entry.spiffe_id.uri()).BindBlob(selectors).BindBlob(nodes);
  if (row.Next()) return row.String();
  MESHCA_RETURN_IF_ERROR(row.status());
  return std::nullopt;
}

absl::Status SqliteEntryTable::Visit(absl::FunctionRef<absl::Status(WithMac<RegistrationEntry>)> visit) {
  Query rows(database_,
             "SELECT id, spiffe_id, selectors, ttl, dns_names, created_at, created_by, mac, nodes,"
             " hint, jwt_ttl, added_mac FROM live_entry"
             " ORDER BY created_at, id");
  while (rows.Next()) {
    MESHCA_ASSIGN_OR_RETURN(WithMac<RegistrationEntry> entry, ReadEntry(rows));
    MESHCA_RETURN_IF_ERROR(visit(std::move(entry)));
  }
  return rows.status();
}

absl::Status SqliteEntryTable::Insert(const RegistrationEntry& entry, const RowMacs& macs) {
  const EntryColumns columns(entry, macs);
  Query insert(database_,
               "INSERT INTO entry(id, spiffe_id, selectors, ttl, dns_names, created_at, created_by, mac, nodes, hint,"
               " jwt_ttl, added_mac) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  return columns.BindTo(insert).Run();
}

absl::Status SqliteEntryTable::Replace(int64_t ref, const RegistrationEntry& entry, const RowMacs& macs) {
  const EntryColumns columns(entry, macs);
  Query update(
      database_,
      "UPDATE entry SET id = ?, spiffe_id = ?, selectors = ?, ttl = ?, dns_names = ?,"
      " created_at = ?, created_by = ?, mac = ?, nodes = ?, hint = ?, jwt_ttl = ?, added_mac = ? WHERE ref = ?");
  return columns.BindTo(update).Bind(ref).Run();
}

absl::StatusOr<bool> SqliteEntryTable::Delete(absl::string_view id) {
  MESHCA_RETURN_IF_ERROR(
      Query(database_, "DELETE FROM entry WHERE ref IN (SELECT ref FROM live_entry WHERE id = ?)").Bind(id).Run());
  return database_.RowsChanged() != 0;
}

}  // namespace meshca::storage
