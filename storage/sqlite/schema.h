// The tables, as numbered steps from nothing to today.
#ifndef MESHCA_STORAGE_SQLITE_SCHEMA_H_
#define MESHCA_STORAGE_SQLITE_SCHEMA_H_

#include <cstdint>
#include <span>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "storage/sqlite/database.h"

namespace meshca::storage {

// Brings a database from `version - 1` to `version`. Never change one that was released: add the next.
struct Migration {
  uint32_t version;
  const char* sql;
};

// 1, 2, 3 ... without a gap; the last is what this build knows.
std::span<const Migration> Migrations();

// Refuses what is not ours, and what is newer than `migrations` and says (meta.min_reader) that they are too old for it
// (FailedPrecondition). A newer database that they can use stays as it is. Otherwise applies what is missing, each step
// in a transaction of its own that also sets PRAGMA user_version. Before the first step on a database that has tables,
// `backup` is called with the version found. Switches the file to WAL.
absl::Status BringUpToDate(Database& database, std::span<const Migration> migrations,
                           absl::FunctionRef<absl::Status(uint32_t found)> backup);

// The refusals of BringUpToDate alone, nothing written; the version found (0: empty).
absl::StatusOr<uint32_t> SchemaVersion(Database& database, std::span<const Migration> migrations);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_SQLITE_SCHEMA_H_
