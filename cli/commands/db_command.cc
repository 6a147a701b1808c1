// meshca db backup|restore|check
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "ca/authority/key_encryption.h"
#include "ca/base/clock.h"
#include "ca/base/status.h"
#include "cli/commands/commands.h"
#include "cli/commands/subcommand.h"
#include "cli/server/server_state.h"
#include "cli/terminal/output.h"
#include "meshca/admin/v1/admin.pb.h"
#include "storage/sqlite/sqlite_store.h"

namespace meshca::cli {
namespace {

namespace v1 = ::meshca::admin::v1;

struct FileOptions {
  std::string file;
};

absl::StatusOr<std::string> Absolute(const std::string& path) {
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(path, error);
  if (error) return ErrnoStatus(error.value(), path);
  return absolute.lexically_normal().string();
}

void BindBackup(CLI::App& app, FileOptions& options) {
  app.add_option("FILE", options.file, "Where to write it, on the server's host; must not exist")->required();
}

absl::Status Backup(Session& session, FileOptions& options) {
  v1::BackupDatabaseRequest request;
  MESHCA_ASSIGN_OR_RETURN(*request.mutable_path(), Absolute(options.file));
  v1::BackupDatabaseResponse response;
  MESHCA_RETURN_IF_ERROR(session.CallAdmin("BackupDatabase", request, response, {.timeout = absl::InfiniteDuration()}));
  session.Print(response,
                [&] { Out("%s: %llu bytes\n", request.path(), static_cast<unsigned long long>(response.bytes())); });
  Err("the key-encryption key is not in it: keep a copy of that file somewhere else\n");
  return absl::OkStatus();
}

void BindRestore(CLI::App& app, FileOptions& options) {
  app.add_option("FILE", options.file, "A backup made by `meshca db backup`")->required();
}

// Works on the files, so the server must be stopped; the store's lock makes sure of that.
absl::Status Restore(Session& session, FileOptions& options) {
  MESHCA_ASSIGN_OR_RETURN(const std::string file, Absolute(options.file));
  MESHCA_ASSIGN_OR_RETURN(const config::ResolvedConfig paths, session.Paths());
  MESHCA_ASSIGN_OR_RETURN(const KeyEncryption keys, OpenKeyEncryption(paths, /*create=*/false));
  storage::SqliteOptions sqlite;
  sqlite.path = DatabasePath(paths);
  sqlite.keys = &keys;
  sqlite.clock = &SystemClock();
  AuditEntry audit;
  audit.time = absl::Now();
  audit.actor = absl::StrCat("uid ", ::getuid(), " pid ", ::getpid());
  audit.action = "database.restore";
  audit.target = file;
  MESHCA_RETURN_IF_ERROR(storage::RestoreSqlite(file, sqlite, audit));
  Out("restored %s\n", sqlite.path);
  Err("tokens are void; the trust bundle has a new version; next: meshca serve, meshca check\n");
  return absl::OkStatus();
}

// Without a server the file is opened here; its lock keeps a server out meanwhile.
absl::Status CheckOffline(const config::ResolvedConfig& paths, v1::CheckDatabaseResponse& response) {
  const std::string path = DatabasePath(paths);
  if (!std::filesystem::exists(path)) {
    return absl::NotFoundError(absl::StrCat("no database at ", path, "; say where it is with --state-dir DIR"));
  }
  MESHCA_ASSIGN_OR_RETURN(const KeyEncryption keys, OpenKeyEncryption(paths, /*create=*/false));
  storage::SqliteOptions sqlite;
  sqlite.path = path;
  sqlite.keys = &keys;
  sqlite.clock = &SystemClock();
  MESHCA_ASSIGN_OR_RETURN(const auto store, storage::OpenSqliteStore(sqlite));
  MESHCA_RETURN_IF_ERROR(store->Check());
  MESHCA_ASSIGN_OR_RETURN(const uint64_t count, store->CountIssuances());
  response.set_certificates_recorded(count);
  return absl::OkStatus();
}

absl::Status Check(Session& session) {
  MESHCA_ASSIGN_OR_RETURN(const config::ResolvedConfig paths, session.Paths());
  v1::CheckDatabaseResponse response;
  if (CheckSocket(paths.values.admin_socket(), "--admin-socket").ok()) {
    MESHCA_RETURN_IF_ERROR(session.CallAdmin("CheckDatabase", v1::CheckDatabaseRequest(), response,
                                             {.timeout = absl::InfiniteDuration()}));
  } else {
    MESHCA_RETURN_IF_ERROR(CheckOffline(paths, response));
  }
  session.Print(response, [&] {
    Out("ok: structure, row MACs, audit chain and counters hold; %llu certificates recorded\n",
        static_cast<unsigned long long>(response.certificates_recorded()));
  });
  return absl::OkStatus();
}

}  // namespace

void AddDb(CLI::App& root, Session& session) {
  CLI::App* noun = AddNoun(root, "db", "The database");
  AddVerb<FileOptions>(*noun, session, "backup", "A consistent copy, while the server runs", BindBackup, Backup);
  AddVerb<FileOptions>(*noun, session, "restore", "Put a backup in the database's place; the server is stopped",
                       BindRestore, Restore);
  AddVerb(*noun, session, "check", "Read everything and say what is wrong", Check);
}

}  // namespace meshca::cli
