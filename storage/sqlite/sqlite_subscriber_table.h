// SubscriberTable in SQLite.
#ifndef MESHCA_STORAGE_SQLITE_SQLITE_SUBSCRIBER_TABLE_H_
#define MESHCA_STORAGE_SQLITE_SQLITE_SUBSCRIBER_TABLE_H_

#include <string>
#include <vector>

#include "storage/sqlite/database.h"
#include "storage/subscriber_table.h"

namespace meshca::storage {

class SqliteSubscriberTable final : public SubscriberTable {
 public:
  explicit SqliteSubscriberTable(Database& database) : database_(database) {}

  absl::Status Put(const SubscriberRecord& record) override;
  absl::StatusOr<std::vector<SubscriberRecord>> ReadAll() override;
  absl::Status Delete(const std::string& instance) override;

 private:
  Database& database_;
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_SQLITE_SQLITE_SUBSCRIBER_TABLE_H_
