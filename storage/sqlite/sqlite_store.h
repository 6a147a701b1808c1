// The store in one SQLite file: the default, embedded in the server.
#ifndef MESHCA_STORAGE_SQLITE_SQLITE_STORE_H_
#define MESHCA_STORAGE_SQLITE_SQLITE_STORE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/authority/key_encryption.h"
#include "ca/base/clock.h"
#include "storage/group_commit_writer.h"
#include "storage/store.h"

namespace meshca::storage {

struct SqliteLimits {
  WriterLimits writer;
  absl::Duration busy_timeout = absl::Seconds(5);  // another process reads or locks the file (a shell, a copy)
  int writer_cache_kib = 8192;
  int reader_cache_kib = 1024;  // each; two idle readers are kept
  int checkpoint_pages = 2000;  // pages of 4 KiB in the log before they move to the database file
};

struct SqliteOptions {
  // The database file. Its folder is the state directory: made 0700 where it is missing, refused where others can
  // read it. Beside it stand PATH-wal, PATH-shm and PATH.lock.
  std::string path;
  // Both outlive the store.
  const KeyEncryption* keys = nullptr;
  Clock* clock = nullptr;
  SqliteLimits limits;
  // An apply of entries that nobody went on with for so long gives way to another where all places are taken.
  absl::Duration apply_silence_max = absl::Minutes(1);
  // An SQLite VFS by name; "" is the system's. Tests put a file layer here that fails and forgets.
  std::string vfs;
};

// One writer connection on one thread, the only one that checkpoints (SQLite before 3.51.3 can lose commits when two
// connections do); readers have connections of their own and see the last commit. WAL, synchronous=FULL: Ok means
// fsynced. An exclusive lock on PATH.lock keeps a second server out.
//
// Opens the database, makes it where there is none, and brings an older schema up to date (after a backup beside it).
// Errors say what to do:
//   FailedPrecondition  a newer schema (names both versions); another program's database; a network file system
//   PermissionDenied    state directory or file open to others (reason STATE_OPEN_TO_OTHERS, with the chmod)
//   AlreadyExists       another server has it open (reason STORE_IN_USE, with its pid where known)
//   DataLoss            damaged (with the command to restore)
//   Unavailable         disk full, read-only, locked for longer than busy_timeout
absl::StatusOr<std::unique_ptr<Store>> OpenSqliteStore(const SqliteOptions& options);

// Puts the backup in the place of the database at `options.path`, which no server may have open; what stood there is
// kept beside it as PATH.replaced-TIME. The backup is checked whole first. The restored store is in state `recovered`:
// the bundle's sequence number is max(stored + 2^32, Unix time), tokens are void, kSettingRecovered is
// set, a rotation goes on with every acknowledgement asked for anew, `audit` is recorded.
// Errors: as above, of the backup or of the place.
absl::Status RestoreSqlite(const std::string& backup_path, const SqliteOptions& options, const AuditEntry& audit);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_SQLITE_SQLITE_STORE_H_
