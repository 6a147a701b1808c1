// The interface of a database that keeps the CA's rows and knows none of the rules about them. storage/sqlite
// implements it.
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

// The only writing connection. Every call comes from the writer's thread.
class RowWriter {
 public:
  virtual ~RowWriter() = default;

  virtual absl::Status Begin() = 0;
  // Ok: what was written survives power loss. After an error it is not known whether it does, the connection is not
  // trusted any more, and Reopen is called next.
  virtual absl::Status Commit() = 0;
  // Ends the transaction without effect, if one is open.
  virtual void Rollback() = 0;

  // A part of the transaction that can be undone without the rest: BeginPart, then perhaps UndoPart, then KeepPart.
  // BeginPart first writes everything collected before it, so that undoing the part does not touch that. No nesting.
  virtual absl::Status BeginPart() = 0;
  virtual absl::Status UndoPart() = 0;
  virtual absl::Status KeepPart() = 0;

  // The tables within the open transaction. The reference is valid until Reopen.
  virtual Tables& tables() = 0;
  // The first failure of the database itself in this transaction; Ok: none. A row that breaks a constraint is not such
  // a failure.
  virtual absl::Status fault() const = 0;

  // A stored number that every transaction without an issuance changes. If the outcome of its commit is unknown, the
  // number tells whether it is in the database.
  virtual absl::StatusOr<int64_t> ReadBatchNumber() = 0;
  virtual absl::Status WriteBatchNumber(int64_t number) = 0;

  // Closes the connection, opens another, verifies the database, and makes everything visible in it durable.
  virtual absl::Status Reopen() = 0;
  // Housekeeping (a checkpoint) after a batch was answered. After an error Reopen is called.
  virtual absl::Status AfterBatch() = 0;
};

// Thread-safe, except writer().
class RowDatabase {
 public:
  virtual ~RowDatabase() = default;

  virtual RowWriter& writer() = 0;
  // Runs `body` in a reading transaction of its own, in which all tables show the state of one commit, and returns its
  // status. Writing goes on meanwhile. Blocks.
  virtual absl::Status Read(absl::FunctionRef<absl::Status(Tables&)> body) = 0;

  // See LeafInventory::VisitUnreplaced. It looks at all live issuances, so each database answers it in its own way.
  virtual absl::Status VisitUnreplaced(const LeafQuery& query, absl::FunctionRef<bool(const LiveLeaf&)> visit) = 0;
  // StoreMaintenance::Backup without the audit log entry; see there for the errors.
  virtual absl::Status BackUp(const std::string& path) = 0;

  virtual uint64_t size_bytes() const = 0;
  virtual uint32_t schema_version() const = 0;
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_ROW_DATABASE_H_
