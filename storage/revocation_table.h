// What is revoked, as rows. They count once the operation they belong to is done.
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

// One live certificate that is not revoked. Bytes live while the call does that hands it out.
struct RevocableCertificate {
  int64_t number = 0;        // RecordedCertificate::number
  absl::string_view serial;  // bytes
  absl::string_view line;    // bytes; of the first of its renewals, never ""
  absl::string_view key_sha256;
  int64_t not_after = 0;  // Unix seconds
};

// Which of the live certificates are asked for.
struct RevocableQuery {
  absl::Time alive_at;
  int64_t after_number = 0;  // issued later than the one with this number
  // Which of them are `selected`; null: none.
  const RevocationSelection* selection = nullptr;
};

// `line_unknown`: the record keeps no line and renews another, so `line` is only its own serial number.
using VisitRevocable =
    absl::FunctionRef<absl::Status(const RevocableCertificate& certificate, bool line_unknown, bool selected)>;

class RevocationTable {
 public:
  virtual ~RevocationTable() = default;

  // Lines and serial numbers are bytes; keys are named by the hash of their SubjectPublicKeyInfo.
  virtual absl::StatusOr<std::optional<Revocation>> FindLine(absl::string_view line) = 0;
  virtual absl::StatusOr<std::optional<Revocation>> FindKey(absl::string_view key_sha256) = 0;
  // May any key be revoked? One look in place of FindKey for each issuance, as long as nothing was ever revoked.
  virtual absl::StatusOr<bool> HasAnyKey() = 0;

  // Every live certificate of `query` that is not revoked, by number, until `visit` returns an error, which is then the
  // answer. Meanwhile `visit` may ask the tables for other things.
  virtual absl::Status VisitCandidates(const RevocableQuery& query, VisitRevocable visit) = 0;

  // A new operation that is not done; its number.
  virtual absl::StatusOr<int64_t> BeginOperation(absl::Time at, RevocationReason reason) = 0;
  virtual absl::Status FinishOperation(int64_t operation) = 0;
  // Each inserts the row, or gives it to `operation` unless an operation that is done has it. The end of a line or key
  // (`not_after`, Unix seconds: no certificate of it lives longer) only grows.
  virtual absl::Status PutCertificate(absl::string_view serial, int64_t not_after, int64_t operation) = 0;
  virtual absl::Status PutLine(absl::string_view line, int64_t not_after, int64_t operation) = 0;
  virtual absl::Status PutKey(absl::string_view key_sha256, int64_t not_after, int64_t operation) = 0;

  // Deletes at most `rows_max` rows of each kind that ended before `expired_before`, or, as long as there are any, that
  // operations which are not done left; how many rows it deleted.
  virtual absl::StatusOr<uint64_t> Prune(absl::Time expired_before, uint64_t rows_max) = 0;
  // Deletes the operations that have no rows left. Reads all that is revoked.
  virtual absl::Status PruneOperations() = 0;
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_REVOCATION_TABLE_H_
