// The audit log as rows.
#ifndef MESHCA_STORAGE_AUDIT_TABLE_H_
#define MESHCA_STORAGE_AUDIT_TABLE_H_

#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ca/identity/audit_entry.h"

namespace meshca::storage {

class AuditTable {
 public:
  virtual ~AuditTable() = default;

  // The last entry of the log; 0 and "" while it is empty. In a writing transaction nobody else adds an entry after it.
  struct Last {
    uint64_t sequence = 0;
    std::string hash;
  };
  virtual absl::StatusOr<Last> FindLast() = 0;
  virtual absl::Status Insert(const AuditEntry& entry) = 0;
  // Visits every entry, the oldest first, until `visit` returns false.
  virtual absl::Status Visit(absl::FunctionRef<bool(const AuditEntry&)> visit) = 0;
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_AUDIT_TABLE_H_
