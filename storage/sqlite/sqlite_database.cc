#include "storage/sqlite/sqlite_database.h"

#include <utility>

#include "storage/sqlite/backup.h"
#include "storage/sqlite/open_database.h"
#include "storage/sqlite/schema.h"
#include "storage/sqlite/sqlite_tables.h"
#include "storage/sqlite/state_folder.h"
#include "storage/sqlite/unreplaced_leaves.h"

namespace meshca::storage {

SqliteDatabase::SqliteDatabase(const SqliteOptions& options, UniqueFd lock, std::unique_ptr<Database> database)
    : options_(options),
      lock_(std::move(lock)),
      writer_(WriterConnection(options), options.limits.checkpoint_pages, std::move(database)),
      readers_(ReaderConnection(options)) {}

absl::Status SqliteDatabase::Read(absl::FunctionRef<absl::Status(Tables&)> body) {
  auto reader = readers_.Acquire();
  if (!reader.ok()) return reader.status();
  SqliteTables tables(**reader);
  return body(tables.tables());
}

absl::Status SqliteDatabase::VisitUnreplaced(const LeafQuery& query, absl::FunctionRef<bool(const LiveLeaf&)> visit) {
  return VisitUnreplacedLeaves(ReaderConnection(options_), query, visit);
}

absl::Status SqliteDatabase::BackUp(const std::string& path) {
  auto reader = readers_.Acquire();
  if (!reader.ok()) return reader.status();
  return BackupTo(**reader, path);
}

uint64_t SqliteDatabase::size_bytes() const { return DatabaseBytes(options_.path); }

uint32_t SqliteDatabase::schema_version() const { return Migrations().back().version; }

}  // namespace meshca::storage
