// A backup takes the place of a database.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ca/authority/settings.h"
#include "ca/base/check.h"
#include "ca/base/file.h"
#include "ca/base/status.h"
#include "ca/base/unique_fd.h"
#include "storage/sqlite/access_rows.h"
#include "storage/sqlite/audit_rows.h"
#include "storage/sqlite/authority_rows.h"
#include "storage/sqlite/check.h"
#include "storage/sqlite/open_database.h"
#include "storage/sqlite/sqlite_store.h"
#include "storage/sqlite/state_folder.h"

namespace meshca::storage {
namespace {

// Far above anything the lost database can have published since the backup.
constexpr uint64_t kBundleLeap = uint64_t{1} << 32;

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

uint64_t NextBundleNumber(uint64_t stored, absl::Time now) {
  const uint64_t unix_time = static_cast<uint64_t>(std::max<int64_t>(0, absl::ToUnixSeconds(now)));
  return std::max(stored + kBundleLeap, unix_time);
}

// A rotation goes on where the backup knew it to be. What subscribers acknowledged until then proves nothing of what
// the lost database published later, so its evidence starts anew: the bundle that all of them must hold is the restored
// one.
RootRotation AfterRestore(RootRotation rotation, uint64_t restored_bundle) {
  if (rotation.retire_sequence != 0) {
    rotation.retire_sequence = restored_bundle;
  } else if (rotation.bundle_sequence != 0) {
    rotation.bundle_sequence = restored_bundle;
  }
  return rotation;
}

// Turns the copy into a store in state `recovered`.
absl::Status MarkRecovered(Database& database, const SqliteOptions& options, const AuditEntry& audit) {
  const absl::Time now = options.clock->Now();
  Transaction transaction(database, Transaction::Kind::kWrite);
  MESHCA_RETURN_IF_ERROR(transaction.status());
  MESHCA_ASSIGN_OR_RETURN(AuthoritiesAndBundle trust, SelectAuthorities(database, *options.keys));
  AuthorityChange change;
  change.expected_revision = trust.revision;
  change.trust_domain = trust.trust_domain;
  if (trust.bundle) {
    // Subscribers ignore a bundle whose number does not grow, and the lost database may have published any.
    change.bundle = *trust.bundle;
    change.bundle->sequence_number = NextBundleNumber(trust.bundle->sequence_number, now);
    change.bundle->published_at = now;
    if (trust.rotation && !trust.rotation->Ended()) {
      change.rotation = AfterRestore(*trust.rotation, change.bundle->sequence_number);
    }
  }
  change.audit = {audit};
  MESHCA_RETURN_IF_ERROR(ApplyAuthorityChange(database, *options.keys, change).status());
  // The backup does not know which of its tokens were redeemed since.
  MESHCA_RETURN_IF_ERROR(database.Exec("DELETE FROM token"));
  MESHCA_RETURN_IF_ERROR(UpsertSealedSetting(database, *options.keys, kSettingRecovered, "1"));
  return transaction.Commit();
}

absl::Status PrepareCopy(const std::string& copy, const SqliteOptions& options, const AuditEntry& audit) {
  SqliteOptions at_copy = options;
  at_copy.path = copy;
  MESHCA_ASSIGN_OR_RETURN(std::unique_ptr<Database> database, OpenWritable(at_copy));
  {
    Transaction snapshot(*database, Transaction::Kind::kRead);
    MESHCA_RETURN_IF_ERROR(snapshot.status());
    MESHCA_RETURN_IF_ERROR(CheckDatabase(*database, *options.keys));
  }
  MESHCA_RETURN_IF_ERROR(MarkRecovered(*database, options, audit));
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
