// A backup takes the place of a database.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ca/base/check.h"
#include "ca/base/file.h"
#include "ca/base/status.h"
#include "ca/base/unique_fd.h"
#include "storage/recovered_trust.h"
#include "storage/sqlite/open_database.h"
#include "storage/sqlite/sqlite_store.h"
#include "storage/sqlite/sqlite_tables.h"
#include "storage/sqlite/state_folder.h"
#include "storage/store_check.h"

namespace meshca::storage {
namespace {

absl::Status CopyFile(const std::string& from, const std::string& to) {
  UniqueFd in(open(from.c_str(), O_RDONLY | O_CLOEXEC));
  if (!in.valid()) return ErrnoStatus(errno, absl::StrCat("backup: open ", from));
  unlink(to.c_str());  // of a restore that was killed
  UniqueFd out(open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!out.valid()) return ErrnoStatus(errno, absl::StrCat("create ", to));
  std::vector<char> buffer(1 << 20);
  for (;;) {
    const ssize_t got = read(in.get(), buffer.data(), buffer.size());
    if (got == 0) break;
    if (got < 0 && errno != EINTR) return ErrnoStatus(errno, absl::StrCat("backup: read ", from));
    for (ssize_t done = 0; done < got;) {
      const ssize_t put = write(out.get(), buffer.data() + done, static_cast<size_t>(got - done));
      if (put < 0 && errno != EINTR) return ErrnoStatus(errno, absl::StrCat("write ", to));
      done += std::max<ssize_t>(put, 0);
    }
  }
  if (fsync(out.get()) != 0) return ErrnoStatus(errno, absl::StrCat("fsync ", to));
  return absl::OkStatus();
}

// A file copied while a server wrote it is no backup: what its log holds would be missing.
absl::Status CheckBackupFile(const std::string& path) {
  struct stat stat;
  if (::stat(path.c_str(), &stat) != 0) return ErrnoStatus(errno, absl::StrCat("backup: ", path));
  if (!S_ISREG(stat.st_mode) || stat.st_size == 0) {
    return absl::InvalidArgumentError(absl::StrCat("backup: ", path, ": is empty or not a regular file"));
  }
  struct stat log;
  if (::stat((path + "-wal").c_str(), &log) != 0 || log.st_size == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("backup: ", path, ": has a log beside it (", path,
                                                 "-wal), so it is a live database or a raw copy of one: make a backup "
                                                 "with meshca db backup FILE"));
}

absl::Status PrepareCopy(const std::string& copy, const SqliteOptions& options, const AuditEntry& audit) {
  SqliteOptions at_copy = options;
  at_copy.path = copy;
  MESHCA_ASSIGN_OR_RETURN(std::unique_ptr<Database> database, OpenWritable(at_copy));
  {
    Transaction snapshot(*database, Transaction::Kind::kRead);
    MESHCA_RETURN_IF_ERROR(snapshot.status());
    MESHCA_RETURN_IF_ERROR(CheckStored(SqliteTables(*database).tables(), *options.keys));
  }
  {
    Transaction transaction(*database, Transaction::Kind::kWrite);
    MESHCA_RETURN_IF_ERROR(transaction.status());
    MESHCA_RETURN_IF_ERROR(MarkRecovered(SqliteTables(*database).tables(), *options.keys, options.clock->Now(), audit));
    MESHCA_RETURN_IF_ERROR(transaction.Commit());
  }
  // One file again, without a log, so that one rename moves it.
  MESHCA_RETURN_IF_ERROR(database->Exec("PRAGMA journal_mode=DELETE"));
  database.reset();
  return SyncFile(copy);
}

void RemoveCopy(const std::string& copy) {
  for (const char* suffix : {"", "-wal", "-shm", "-journal"}) unlink((copy + suffix).c_str());
}

}  // namespace

absl::Status RestoreSqlite(const std::string& backup_path, const SqliteOptions& options, const AuditEntry& audit) {
  MESHCA_CHECK(options.keys != nullptr && options.clock != nullptr);
  MESHCA_RETURN_IF_ERROR(CheckBackupFile(backup_path));
  MESHCA_RETURN_IF_ERROR(PrepareFolder(options.path));
  MESHCA_ASSIGN_OR_RETURN(UniqueFd lock, LockDatabase(options.path));
  MESHCA_RETURN_IF_ERROR(FinishRestore(options.path));
  const std::string copy = options.path + ".restore-copy";
  RemoveCopy(copy);
  absl::Status status = CopyFile(backup_path, copy);
  if (status.ok()) status = Annotate(PrepareCopy(copy, options, audit), absl::StrCat("backup ", backup_path));
  if (!status.ok()) {
    RemoveCopy(copy);
    return status;
  }
  // The point of no return: a start after a power loss finishes what this began.
  if (rename(copy.c_str(), (options.path + ".restoring").c_str()) != 0) {
    return ErrnoStatus(errno, absl::StrCat("rename ", copy));
  }
  MESHCA_RETURN_IF_ERROR(SyncFolder(FolderOf(options.path)));
  return FinishRestore(options.path);
}

}  // namespace meshca::storage
