#include "storage/sqlite/open_database.h"

#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/log.h"
#include "ca/base/status.h"
#include "storage/sqlite/backup.h"
#include "storage/sqlite/schema.h"
#include "storage/sqlite/sqlite_row_writer.h"
#include "storage/sqlite/state_folder.h"

namespace meshca::storage {

ConnectionOptions WriterConnection(const SqliteOptions& options) {
  ConnectionOptions connection = ReaderConnection(options);
  connection.cache_kib = options.limits.writer_cache_kib;
  connection.query_only = false;
  return connection;
}

ConnectionOptions ReaderConnection(const SqliteOptions& options) {
  ConnectionOptions connection;
  connection.path = options.path;
  connection.vfs = options.vfs;
  connection.busy_timeout = options.limits.busy_timeout;
  connection.cache_kib = options.limits.reader_cache_kib;
  return connection;
}

absl::StatusOr<std::unique_ptr<Database>> OpenWritable(const SqliteOptions& options) {
  MESHCA_RETURN_IF_ERROR(PrepareFile(options.path));
  MESHCA_ASSIGN_OR_RETURN(std::unique_ptr<Database> database, Database::Open(WriterConnection(options)));
  MESHCA_RETURN_IF_ERROR(BringUpToDate(*database, Migrations(), [&](uint32_t found) {
    const std::string copy = absl::StrCat(options.path, ".schema-", found, "-backup");
    LogInfo("database: older schema: backing up before the migration", {{"backup", copy}});
    // One is there when an earlier attempt to migrate was cut short: the database is still what it was then.
    unlink(copy.c_str());
    return BackupTo(*database, copy);
  }));
  // A log left by a killed server may hold commits that were never fsynced.
  MESHCA_RETURN_IF_ERROR(SqliteRowWriter::MakeDurable(*database));
  return database;
}

}  // namespace meshca::storage
