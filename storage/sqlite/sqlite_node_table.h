// NodeTable in SQLite.
#ifndef MESHCA_STORAGE_SQLITE_SQLITE_NODE_TABLE_H_
#define MESHCA_STORAGE_SQLITE_SQLITE_NODE_TABLE_H_

#include <optional>

#include "storage/node_table.h"
#include "storage/sqlite/database.h"

namespace meshca::storage {

class SqliteNodeTable final : public NodeTable {
 public:
  explicit SqliteNodeTable(Database& database) : database_(database) {}

  absl::StatusOr<std::optional<WithMac<NodeRecord>>> Find(absl::string_view node) override;
  absl::Status Visit(absl::FunctionRef<absl::Status(WithMac<NodeRecord>)> visit) override;
  absl::Status Put(const NodeRecord& node, absl::string_view mac) override;
  absl::StatusOr<bool> Delete(absl::string_view node) override;

 private:
  Database& database_;
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_SQLITE_SQLITE_NODE_TABLE_H_
