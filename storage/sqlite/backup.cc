#include "storage/sqlite/backup.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "absl/strings/str_cat.h"
#include "ca/base/file.h"
#include "ca/base/status.h"
#include "ca/base/unique_fd.h"
#include "storage/sqlite/state_folder.h"

namespace meshca::storage {
namespace {

absl::Status CopyPages(Database& source, const std::string& path) {
  ConnectionOptions options;
  options.path = path;
  options.query_only = false;
  options.busy_timeout = absl::Seconds(5);
  MESHCA_ASSIGN_OR_RETURN(std::unique_ptr<Database> copy, Database::Open(options));
  // Synced once, at the end.
  MESHCA_RETURN_IF_ERROR(copy->Exec("PRAGMA synchronous=OFF"));
  sqlite3_backup* backup = sqlite3_backup_init(copy->handle(), "main", source.handle(), "main");
  if (backup == nullptr) return copy->StatusOf(sqlite3_errcode(copy->handle()), "backup");
  // All pages in one step: the reader's snapshot never changes under the copy, so it never starts anew.
  sqlite3_backup_step(backup, -1);
  int code = sqlite3_backup_finish(backup);
  if (code != SQLITE_OK) return copy->StatusOf(code, "backup");
  // A copy without log and shared memory beside it can be moved as one file.
  return copy->Exec("PRAGMA journal_mode=DELETE");
}

}  // namespace

absl::Status CheckFree(const std::string& path) {
  struct stat stat;
  if (lstat(path.c_str(), &stat) != 0) return absl::OkStatus();
  return absl::AlreadyExistsError(absl::StrCat("backup: ", path, " exists: choose another name"));
}

absl::Status BackupTo(Database& source, const std::string& path) {
  MESHCA_RETURN_IF_ERROR(CheckFree(path));
  const std::string part = path + ".part";
  unlink(part.c_str());  // of a backup that was killed
  {
    UniqueFd made(open(part.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!made.valid()) return ErrnoStatus(errno, absl::StrCat("backup: create ", part));
  }
  absl::Status status = CopyPages(source, part);
  if (status.ok()) status = SyncFile(part);
  // link() and not rename(): it never takes the place of a file that came in between.
  if (status.ok() && link(part.c_str(), path.c_str()) != 0) status = ErrnoStatus(errno, absl::StrCat("create ", path));
  unlink(part.c_str());
  if (status.ok()) status = SyncFolder(FolderOf(path));
  return Annotate(status, "backup");
}

}  // namespace meshca::storage
