// What was issued, as rows.
#ifndef MESHCA_STORAGE_ISSUANCE_TABLE_H_
#define MESHCA_STORAGE_ISSUANCE_TABLE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/identity/origin.h"
#include "ca/issuance/issuance_store.h"
#include "storage/recorded_certificate.h"

namespace meshca::storage {

// One row to insert: the record, with what the rules found out for it. Nothing is copied on the way to the database.
struct NewIssuance {
  const IssuanceRecord& record;  // its origin and line_serial are not read: those below count
  int64_t signer = 0;            // Signer::number
  const Origin& origin;
  int64_t origin_number = 0;  // RecordedCertificate::origin_number where `origin` was taken from there, else 0
  absl::string_view line;     // bytes; "": none that could be told
};

// Serial numbers are bytes, but where a SerialNumber is named.
class IssuanceTable {
 public:
  virtual ~IssuanceTable() = default;

  // AlreadyExists: the serial number is taken; nothing of the row stays. A database may gather rows and counters and
  // send them together, at the latest when another part of the transaction begins (RowWriter::BeginPart) and before the
  // commit.
  virtual absl::Status Insert(const NewIssuance& row) = 0;

  // Each renewal pays for this, so a database answers it by one statement.
  virtual absl::StatusOr<std::optional<RecordedCertificate>> FindRecorded(absl::string_view serial) = 0;
  virtual absl::StatusOr<std::optional<IssuanceRecord>> Find(const SerialNumber& serial) = 0;
  virtual absl::StatusOr<bool> Has(absl::string_view serial) = 0;
  // Is exactly this certificate on record?
  virtual absl::StatusOr<bool> HasCertificate(const SerialNumber& serial, absl::string_view certificate_sha256) = 0;
  // What `filter` lets through, oldest first, until `visit` returns false. Constant memory.
  virtual absl::Status Visit(const IssuanceFilter& filter, absl::FunctionRef<bool(const IssuanceRecord&)> visit) = 0;

  // The highest RecordedCertificate::number; 0: there is none.
  virtual absl::StatusOr<int64_t> NewestNumber() = 0;
  virtual absl::StatusOr<uint64_t> Count() = 0;
  // Of one authority, expired ones too. Cheap: from counters.
  virtual absl::StatusOr<uint64_t> CountSignedBy(const std::string& authority_id) = 0;
  // Not expired at `now`, by authority id; those without one are left out. Cheap.
  virtual absl::StatusOr<std::map<std::string, uint64_t>> CountLive(absl::Time now) = 0;

  // Deletes at most `rows_max` that ended before `expired_before`, those that ended first, with their counts; how many.
  virtual absl::StatusOr<uint64_t> Prune(absl::Time expired_before, uint64_t rows_max) = 0;
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_ISSUANCE_TABLE_H_
