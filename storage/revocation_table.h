// Database rows of what is revoked. A row has no effect before the operation that it belongs to is done.
#ifndef MESHCA_STORAGE_REVOCATION_TABLE_H_
#define MESHCA_STORAGE_REVOCATION_TABLE_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/issuance/revocation_store.h"
#include "storage/recorded_certificate.h"

namespace meshca::storage {

// A live certificate that is not revoked. Its bytes are valid only during the call that it is passed to.
struct RevocableCertificate {
  int64_t number = 0;        // RecordedCertificate::number
  absl::string_view serial;  // bytes
  absl::string_view line;    // bytes; the serial number of the first certificate of its line, never ""
  absl::string_view key_sha256;
  int64_t not_after = 0;  // Unix seconds
};

// Which certificates are visited, and which of these are `selected`.
struct RevocableQuery {
  absl::Time alive_at;       // only those that have not expired at this time
  int64_t after_number = 0;  // only those with a greater number, which were issued later
  // Null: none is selected.
  const RevocationSelection* selection = nullptr;
};

// `line_unknown`: the certificate renews another, but its (old) row has no line, so `line` is its own serial number.
using VisitRevocable =
    absl::FunctionRef<absl::Status(const RevocableCertificate& certificate, bool line_unknown, bool selected)>;

class RevocationTable {
 public:
  virtual ~RevocationTable() = default;

  // Lines and serial numbers are bytes; keys are named by the hash of their SubjectPublicKeyInfo.
  virtual absl::StatusOr<std::optional<Revocation>> FindLine(absl::string_view line) = 0;
  virtual absl::StatusOr<std::optional<Revocation>> FindKey(absl::string_view key_sha256) = 0;
  // Whether any key may be revoked. While none ever was, one such call saves a FindKey for each issuance of a batch.
  virtual absl::StatusOr<bool> HasAnyKey() = 0;

  // Visits every certificate of `query` that is not revoked, in the order of numbers, until `visit` returns an error,
  // which is then returned. `visit` may use the tables.
  virtual absl::Status VisitCandidates(const RevocableQuery& query, VisitRevocable visit) = 0;

  // Inserts a new operation, which is not done; its number.
  virtual absl::StatusOr<int64_t> BeginOperation(absl::Time at, RevocationReason reason) = 0;
  virtual absl::Status FinishOperation(int64_t operation) = 0;
  // Each inserts the row as part of `operation`. A row that exists is made part of `operation`, unless its own
  // operation is done. `not_after` (Unix seconds) is when the last certificate with this line or key ends; it only
  // grows.
  virtual absl::Status PutCertificate(absl::string_view serial, int64_t not_after, int64_t operation) = 0;
  virtual absl::Status PutLine(absl::string_view line, int64_t not_after, int64_t operation) = 0;
  virtual absl::Status PutKey(absl::string_view key_sha256, int64_t not_after, int64_t operation) = 0;

  // Deletes at most `rows_max` rows of each kind: rows of operations that are not done, and, once there are none of
  // these, rows that ended before `expired_before`. Returns how many it deleted.
  virtual absl::StatusOr<uint64_t> Prune(absl::Time expired_before, uint64_t rows_max) = 0;
  // Deletes the operations that have no rows left. Slow: reads all rows.
  virtual absl::Status PruneOperations() = 0;
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_REVOCATION_TABLE_H_
