// Copies of a database that is in use.
#ifndef MESHCA_STORAGE_SQLITE_BACKUP_H_
#define MESHCA_STORAGE_SQLITE_BACKUP_H_

#include <string>

#include "absl/status/status.h"
#include "storage/sqlite/database.h"

namespace meshca::storage {

// Copies what `source` sees to `path`: one file without a log, 0600, fsynced with its folder, there whole or not at
// all. Writers go on meanwhile. The key-encryption key is no part of it. AlreadyExists: something is at `path`.
absl::Status BackupTo(Database& source, const std::string& path);

// AlreadyExists, when something is at `path`.
absl::Status CheckFree(const std::string& path);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_SQLITE_BACKUP_H_
