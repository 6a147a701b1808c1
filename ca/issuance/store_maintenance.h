// What keeps a store healthy. storage/ implements it; the admin service and the server's maintenance thread call it.
#ifndef MESHCA_CA_ISSUANCE_STORE_MAINTENANCE_H_
#define MESHCA_CA_ISSUANCE_STORE_MAINTENANCE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/identity/audit_entry.h"

namespace meshca {

// A store's condition, as /metrics and `meshca check` show it.
struct StoreHealth {
  absl::Status writable;        // Ok, or why the last write failed; recovers by itself
  uint64_t queued = 0;          // writes waiting for the next batch
  uint64_t batches = 0;         // transactions committed since start
  uint64_t records = 0;         // records committed since start
  uint64_t pruned = 0;          // expired records deleted since start
  uint64_t database_bytes = 0;  // the file and its log
  uint32_t schema_version = 0;
};

// Thread-safe. Calls block on the database.
class StoreMaintenance {
 public:
  virtual ~StoreMaintenance() = default;

  // A consistent copy at `path` (0600) while writing goes on; not made when `path` exists (AlreadyExists).
  virtual absl::Status Backup(const std::string& path, const AuditEntry& audit) = 0;
  // Reads everything: structure, row MACs, audit chain, counters. Ok, or DataLoss with the first findings.
  virtual absl::Status Check() = 0;
  // Deletes at most `rows_max` issuances and join tokens that ended before `expired_before`; how many it deleted.
  virtual absl::StatusOr<uint64_t> Prune(absl::Time expired_before, uint64_t rows_max) = 0;
  // Writes and commits one throw-away value: readiness.
  virtual absl::Status Probe() = 0;
  virtual StoreHealth Health() const = 0;
  // Adds one line to the audit log, for a deed that no other call records; durable when it returns.
  virtual absl::Status RecordAudit(const AuditEntry& audit) = 0;
  // The audit log, oldest first, until `visit` returns false.
  virtual absl::Status ListAudit(absl::FunctionRef<bool(const AuditEntry&)> visit) = 0;
};

}  // namespace meshca

#endif  // MESHCA_CA_ISSUANCE_STORE_MAINTENANCE_H_
