// The steps from a path to a database that may be used: shared by the store and by restore.
#ifndef MESHCA_STORAGE_SQLITE_OPEN_DATABASE_H_
#define MESHCA_STORAGE_SQLITE_OPEN_DATABASE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "storage/sqlite/database.h"
#include "storage/sqlite/sqlite_store.h"

namespace meshca::storage {

ConnectionOptions WriterConnection(const SqliteOptions& options);
ConnectionOptions ReaderConnection(const SqliteOptions& options);

// The file made or checked (modes), opened for writing, its schema up to date, its log moved into it and fsynced.
// The folder is prepared and the lock held already.
absl::StatusOr<std::unique_ptr<Database>> OpenWritable(const SqliteOptions& options);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_SQLITE_OPEN_DATABASE_H_
