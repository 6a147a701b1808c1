// The store in one SQLite file: the default, embedded in the server.
#ifndef MESHCA_STORAGE_SQLITE_SQLITE_STORE_H_
#define MESHCA_STORAGE_SQLITE_SQLITE_STORE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

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

// See the interfaces for what each call does; this is what SQLite adds.
//
// One writer connection on one thread, the only one that checkpoints (SQLite before 3.51.3 can lose commits when two
// connections do); readers have connections of their own and see the last commit. WAL, synchronous=FULL: Ok means
// fsynced. An exclusive lock on PATH.lock keeps a second server out.
class SqliteStore final : public Store {
 public:
  ~SqliteStore() override;

  using IssuanceStore::Append;
  void Append(std::shared_ptr<const IssuanceRecord> record, AppendDone done) override;
  absl::StatusOr<IssuanceRecord> Find(const SerialNumber& serial) override;
  absl::Status List(const IssuanceFilter& filter, absl::FunctionRef<bool(const IssuanceRecord&)> visit) override;
  absl::StatusOr<IssuanceRecord> JudgePresented(
      const PresentedCertificate& shown,
      const std::shared_ptr<const std::vector<std::string>>& trusted_issuers) override;
  absl::StatusOr<uint64_t> CountIssuances() override;

  absl::StatusOr<RevocationResult> Revoke(const RevocationSelection& selection, RevocationReason reason, bool dry_run,
                                          const AuditEntry& audit,
                                          absl::FunctionRef<bool(const IssuanceRecord&)> visit) override;

  absl::Status Backup(const std::string& path, const AuditEntry& audit) override;
  absl::Status Check() override;
  absl::StatusOr<uint64_t> Prune(absl::Time expired_before, uint64_t rows_max) override;
  absl::Status Probe() override;
  StoreHealth Health() const override;
  absl::Status RecordAudit(const AuditEntry& audit) override;
  absl::Status ListAudit(absl::FunctionRef<bool(const AuditEntry&)> visit) override;

  absl::StatusOr<AuthoritiesAndBundle> LoadAuthorities() override;
  absl::StatusOr<uint64_t> CommitAuthorities(const AuthorityChange& change) override;
  absl::StatusOr<std::map<std::string, uint64_t>> CountLiveLeaves(absl::Time now) override;
  absl::StatusOr<std::string> GetSetting(absl::string_view name) override;
  absl::Status PutSetting(absl::string_view name, absl::string_view value) override;
  absl::StatusOr<std::string> GetSealedSetting(absl::string_view name) override;
  absl::Status PutSealedSetting(absl::string_view name, absl::string_view value) override;

  absl::Status VisitUnreplaced(const LeafQuery& query, absl::FunctionRef<bool(const LiveLeaf&)> visit) override;

  void SaveSubscribers(std::vector<SubscriberRecord> rows, SaveDone done) override;
  absl::StatusOr<std::vector<SubscriberRecord>> LoadSubscribers() override;
  void DeleteSubscribers(std::vector<std::string> instances, SaveDone done) override;

  absl::Status CreateToken(const JoinToken& token, const AuditEntry& audit) override;
  absl::StatusOr<JoinToken> FindToken(absl::string_view secret_sha256) override;
  absl::StatusOr<std::vector<JoinToken>> ListTokens() override;
  absl::Status DeleteToken(absl::string_view id, const AuditEntry& audit) override;

  absl::Status CreateEntry(const RegistrationEntry& entry, const AuditEntry& audit) override;
  absl::Status PutEntry(const RegistrationEntry& entry, const AuditEntry& audit) override;
  absl::StatusOr<std::vector<RegistrationEntry>> ListEntries() override;
  absl::Status DeleteEntry(absl::string_view id, const AuditEntry& audit) override;

  absl::StatusOr<uint64_t> BeginApply() override;
  absl::Status StageEntries(uint64_t apply, std::span<const GivenEntry> part, size_t* at) override;
  absl::StatusOr<EntryApplyCounts> FinishApply(uint64_t apply, const EntryApplyOptions& options,
                                               const AuditEntry& audit, const EntryApplyListener& listener,
                                               uint64_t* at) override;
  void DropApply(uint64_t apply) override;
  void LeaveApply(uint64_t apply) override;

 private:
  friend absl::StatusOr<std::unique_ptr<SqliteStore>> OpenSqliteStore(const SqliteOptions& options);
  class Impl;
  explicit SqliteStore(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Opens the database, makes it where there is none, and brings an older schema up to date (after a backup beside it).
// Errors say what to do:
//   FailedPrecondition  a newer schema (names both versions); another program's database; a network file system
//   PermissionDenied    state directory or file open to others (reason STATE_OPEN_TO_OTHERS, with the chmod)
//   AlreadyExists       another server has it open (reason STORE_IN_USE, with its pid where known)
//   DataLoss            damaged (with the command to restore)
//   Unavailable         disk full, read-only, locked for longer than busy_timeout
absl::StatusOr<std::unique_ptr<SqliteStore>> OpenSqliteStore(const SqliteOptions& options);

// Puts the backup in the place of the database at `options.path`, which no server may have open; what stood there is
// kept beside it as PATH.replaced-TIME. The backup is checked whole first. The restored store is in state `recovered`:
// the bundle's sequence number is max(stored + 2^32, Unix time), tokens are void, kSettingRecovered is
// set, a rotation goes on with every acknowledgement asked for anew, `audit` is recorded.
// Errors: as above, of the backup or of the place.
absl::Status RestoreSqlite(const std::string& backup_path, const SqliteOptions& options, const AuditEntry& audit);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_SQLITE_SQLITE_STORE_H_
