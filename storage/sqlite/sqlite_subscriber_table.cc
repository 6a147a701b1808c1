#include "storage/sqlite/sqlite_subscriber_table.h"

#include <utility>

#include "ca/base/status.h"

namespace meshca::storage {

absl::Status SqliteSubscriberTable::Put(const SubscriberRecord& record) {
  // The columns are the record's members, in order. Not REPLACE, which would set the columns of a newer meshca back to
  // their defaults.
  return Query(database_,
               "INSERT INTO subscriber(instance, spiffe_id, node, kind, peer, connected, first_seen, last_seen,"
               " bundle_sequence, serial, version_info, acknowledged_at, certificate_expires, rejected,"
               " authority_id, takes_bundle, takes_key, evicted_at, takes_jwt_keys, displaced, displaced_at)"
               " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT(instance) DO UPDATE "
               "SET spiffe_id = excluded.spiffe_id, node ="
               " excluded.node, kind = excluded.kind, peer = excluded.peer, connected = excluded.connected,"
               " first_seen = excluded.first_seen, last_seen = excluded.last_seen, bundle_sequence ="
               " excluded.bundle_sequence, serial = excluded.serial, version_info = excluded.version_info,"
               " acknowledged_at = excluded.acknowledged_at, certificate_expires = excluded.certificate_expires,"
               " rejected = excluded.rejected, authority_id = excluded.authority_id, takes_bundle ="
               " excluded.takes_bundle, takes_key = excluded.takes_key, evicted_at = excluded.evicted_at,"
               " takes_jwt_keys = excluded.takes_jwt_keys, displaced = excluded.displaced, displaced_at ="
               " excluded.displaced_at")
      .Bind(record.instance)
      .Bind(record.spiffe_id)
      .Bind(record.node)
      .Bind(record.kind)
      .Bind(record.peer)
      .Bind(record.connected)
      .Bind(record.first_seen)
      .Bind(record.last_seen)
      .Bind(record.trust_version)
      .Bind(record.serial)
      .Bind(record.version_info)
      // Of those who cannot acknowledge the column holds the other kind of proof: no instance has both.
      .Bind(CannotAcknowledge(record.kind) ? record.delivered_at : record.acknowledged_at)
      .Bind(record.certificate_expires)
      .Bind(record.rejected)
      .Bind(record.authority_id)
      .Bind(record.takes_bundle)
      .Bind(record.takes_key)
      .Bind(record.evicted_at)
      .Bind(record.takes_jwt_keys)
      .Bind(record.displaced)
      .Bind(record.displaced_at)
      .Run();
}

absl::StatusOr<std::vector<SubscriberRecord>> SqliteSubscriberTable::ReadAll() {
  std::vector<SubscriberRecord> records;
  Query rows(database_,
             "SELECT instance, spiffe_id, node, kind, peer, connected, first_seen, last_seen, bundle_sequence, serial,"
             " version_info, acknowledged_at, certificate_expires, rejected, authority_id, takes_bundle, takes_key,"
             " evicted_at, takes_jwt_keys, displaced, displaced_at FROM subscriber ORDER BY instance");
  while (rows.Next()) {
    SubscriberRecord record;
    record.instance = rows.String();
    record.spiffe_id = rows.String();
    record.node = rows.String();
    record.kind = rows.String();
    record.peer = rows.String();
    record.connected = rows.Int() != 0;
    record.first_seen = rows.Time();
    record.last_seen = rows.Time();
    record.trust_version = rows.Uint();
    record.serial = rows.String();
    record.version_info = rows.String();
    record.acknowledged_at = rows.Time();
    record.certificate_expires = rows.Time();
    record.rejected = rows.String();
    record.authority_id = rows.String();
    record.takes_bundle = rows.Int() != 0;
    record.takes_key = rows.Int() != 0;
    record.evicted_at = rows.Time();
    record.takes_jwt_keys = rows.Int() != 0;
    record.displaced = rows.Uint();
    record.displaced_at = rows.Time();
    if (CannotAcknowledge(record.kind)) {
      record.delivered_at = std::exchange(record.acknowledged_at, absl::InfinitePast());
    }
    records.push_back(std::move(record));
  }
  MESHCA_RETURN_IF_ERROR(rows.status());
  return records;
}

absl::Status SqliteSubscriberTable::Delete(const std::string& instance) {
  return Query(database_, "DELETE FROM subscriber WHERE instance = ?").Bind(instance).Run();
}

}  // namespace meshca::storage
