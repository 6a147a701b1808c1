// A database that keeps the CA's rows: what storage/sqlite implements, and storage/postgres will. It knows no rule.
#ifndef MESHCA_STORAGE_ROW_DATABASE_H_
#define MESHCA_STORAGE_ROW_DATABASE_H_

#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/authority/leaf_inventory.h"
#include "storage/tables.h"

namespace meshca::storage {

// The one writing connection. Every call comes from the writer's thread.
class RowWriter {
 public:
  virtual ~RowWriter() = default;

  virtual absl::Status Begin() = 0;
  // Ok: what was written survives power loss. Otherwise nobody knows whether it does, and the connection is not trusted
  // any more: Reopen comes next.
  virtual absl::Status Commit() = 0;
  // Ends the transaction, if one is open; nothing of it counts.
  virtual void Rollback() = 0;

  // A part of the transaction that may be undone without the rest. Everything gathered before it is written first, so
  // that undoing the part leaves that alone. Parts do not nest.
  virtual absl::Status BeginPart() = 0;
  virtual absl::Status UndoPart() = 0;
  virtual absl::Status KeepPart() = 0;

  // Of the transaction that is open. Stays good until Reopen.
  virtual Tables& tables() = 0;
  // The first failure of the database itself in this transaction, Ok where there was none; a row that breaks a
  // constraint is no such failure.
  virtual absl::Status fault() const = 0;

  // A number that moves with every transaction without an issuance. By it, an unknown commit of such a one is looked
  // up.
  virtual absl::StatusOr<int64_t> ReadBatchNumber() = 0;
  virtual absl::Status WriteBatchNumber(int64_t number) = 0;

  // Closes the connection, opens another, verifies the database, and makes everything visible in it durable.
  virtual absl::Status Reopen() = 0;
  // Housekeeping once a batch's callers have their answers. An error leads to Reopen.
  virtual absl::Status AfterBatch() = 0;
};

// Thread-safe, but for writer().
class RowDatabase {
 public:
  virtual ~RowDatabase() = default;

  virtual RowWriter& writer() = 0;
  // Runs `body` in a reading transaction of its own, in which all tables show the same commit. Writing goes on
  // meanwhile. Its answer is the answer.
  virtual absl::Status Read(absl::FunctionRef<absl::Status(Tables&)> body) = 0;

  // LeafInventory::VisitUnreplaced, which says what is asked: a question over all live issuances, best answered by the
  // database itself.
  virtual absl::Status VisitUnreplaced(const LeafQuery& query, absl::FunctionRef<bool(const LiveLeaf&)> visit) = 0;
  // StoreMaintenance::Backup, which says the errors, without the line in the audit log.
  virtual absl::Status BackUp(const std::string& path) = 0;

  virtual uint64_t size_bytes() const = 0;
  virtual uint32_t schema_version() const = 0;
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_ROW_DATABASE_H_
