// Consistency in SQLite.
#ifndef MESHCA_STORAGE_SQLITE_SQLITE_CONSISTENCY_H_
#define MESHCA_STORAGE_SQLITE_SQLITE_CONSISTENCY_H_

#include <string>
#include <vector>

#include "storage/consistency.h"
#include "storage/sqlite/database.h"

namespace meshca::storage {

class SqliteConsistency final : public Consistency {
 public:
  explicit SqliteConsistency(Database& database) : database_(database) {}

  void CheckStructure(std::vector<std::string>& findings) override;
  void CheckIssuances(std::vector<std::string>& findings) override;
  absl::Status fault() const override { return database_.fault(); }
  std::string name() const override { return "database " + database_.path(); }

 private:
  // `finding` where the number that `sql` answers is not 0.
  void CheckIsZero(const char* sql, absl::string_view finding, std::vector<std::string>& findings);

  Database& database_;
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_SQLITE_SQLITE_CONSISTENCY_H_
