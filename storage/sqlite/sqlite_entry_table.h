// EntryTable in SQLite: the view live_entry.
#ifndef MESHCA_STORAGE_SQLITE_SQLITE_ENTRY_TABLE_H_
#define MESHCA_STORAGE_SQLITE_SQLITE_ENTRY_TABLE_H_

#include <optional>
#include <string>

#include "storage/entry_table.h"
#include "storage/sqlite/database.h"

namespace meshca::storage {

class SqliteEntryTable final : public EntryTable {
 public:
  explicit SqliteEntryTable(Database& database) : database_(database) {}

  absl::StatusOr<std::optional<LiveEntry>> FindById(const std::string& id) override;
  absl::StatusOr<std::optional<LiveEntry>> FindByIdentity(const SpiffeId& spiffe_id) override;
  absl::StatusOr<std::optional<std::string>> FindHolder(const RegistrationEntry& entry) override;
  absl::Status Visit(absl::FunctionRef<absl::Status(WithMac<RegistrationEntry>)> visit) override;
  absl::Status Insert(const RegistrationEntry& entry, const RowMacs& macs) override;
  absl::Status Replace(int64_t ref, const RegistrationEntry& entry, const RowMacs& macs) override;
  absl::StatusOr<bool> Delete(absl::string_view id) override;

 private:
  Database& database_;
};

// What an entry's row is written from, packed as its columns keep it. Lives until the query has run; the entry and the
// MACs outlive it.
class EntryColumns {
 public:
  EntryColumns(const RegistrationEntry& entry, const RowMacs& macs);

  // Binds the columns id, spiffe_id, selectors, ttl, dns_names, created_at, created_by, mac, nodes, hint, jwt_ttl and
  // added_mac, in this order.
  Query& BindTo(Query& query) const;

 private:
  const RegistrationEntry& entry_;
  const RowMacs& macs_;
  const std::string selectors_, dns_names_, nodes_;
};

// The same columns of a row.
absl::StatusOr<WithMac<RegistrationEntry>> ReadEntry(Query& row);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_SQLITE_SQLITE_ENTRY_TABLE_H_
