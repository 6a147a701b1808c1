#include "storage/sqlite/sqlite_store.h"

#include <utility>

#include "ca/base/check.h"
#include "ca/base/status.h"
#include "ca/base/unique_fd.h"
#include "storage/group_commit_writer.h"
#include "storage/row_store.h"
#include "storage/sqlite/open_database.h"
#include "storage/sqlite/sqlite_database.h"
#include "storage/sqlite/state_folder.h"

namespace meshca::storage {

absl::StatusOr<std::unique_ptr<Store>> OpenSqliteStore(const SqliteOptions& options) {
  MESHCA_CHECK(options.keys != nullptr && options.clock != nullptr);
  MESHCA_RETURN_IF_ERROR(PrepareFolder(options.path));
  MESHCA_ASSIGN_OR_RETURN(UniqueFd lock, LockDatabase(options.path));
  MESHCA_RETURN_IF_ERROR(FinishRestore(options.path));
  MESHCA_ASSIGN_OR_RETURN(std::unique_ptr<Database> database, OpenWritable(options));
  RowStoreOptions rules;
  rules.keys = options.keys;
  rules.apply_silence_max = options.apply_silence_max;
  auto rows = std::make_unique<SqliteDatabase>(options, std::move(lock), std::move(database));
  return std::make_unique<RowStore>(rules, std::move(rows), [&options](WriteSink& sink, RowDatabase&) {
    return std::make_unique<GroupCommitWriter>(sink, options.limits.writer);
  });
}

}  // namespace meshca::storage
