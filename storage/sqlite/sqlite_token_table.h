// TokenTable in SQLite.
#ifndef MESHCA_STORAGE_SQLITE_SQLITE_TOKEN_TABLE_H_
#define MESHCA_STORAGE_SQLITE_SQLITE_TOKEN_TABLE_H_

#include <optional>

#include "storage/sqlite/database.h"
#include "storage/token_table.h"

namespace meshca::storage {

class SqliteTokenTable final : public TokenTable {
 public:
  explicit SqliteTokenTable(Database& database) : database_(database) {}

  absl::Status Insert(const JoinToken& token, const RowMacs& macs) override;
  absl::StatusOr<std::optional<WithMac<JoinToken>>> FindById(absl::string_view id) override;
  absl::StatusOr<std::optional<WithMac<JoinToken>>> FindBySecret(absl::string_view secret_sha256) override;
  absl::Status Visit(absl::FunctionRef<absl::Status(WithMac<JoinToken>)> visit) override;
  absl::Status WriteUse(const JoinToken& token, absl::string_view mac) override;
  absl::StatusOr<bool> Delete(absl::string_view id) override;
  absl::Status DeleteOfNode(absl::string_view node) override;
  absl::Status DeleteAll() override;
  absl::StatusOr<uint64_t> Prune(absl::Time expired_before, uint64_t rows_max) override;

 private:
  Database& database_;
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_SQLITE_SQLITE_TOKEN_TABLE_H_
