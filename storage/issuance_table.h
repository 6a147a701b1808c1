// Database rows of issued certificates.
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

// One row to insert: the record and what the rules found out about it. Holds references, so that nothing is copied on
// the way to the database.
struct NewIssuance {
  // Its origin, line_serial, node and parent_serial are ignored: the caller's words. Those below are stored.
  const IssuanceRecord& record;
  int64_t signer = 0;  // Signer::number
  const Origin& origin;
  int64_t origin_number = 0;  // RecordedCertificate::origin_number if `origin` is that record's, else 0
  absl::string_view line;     // bytes, see RecordedCertificate::line; "": this row begins a line, or it is not known
  absl::string_view node;     // "": none
  absl::string_view parent;   // hex; "": none. What is no hex (records of old versions) is stored as it is
};

// Serial numbers are bytes, except where the type is SerialNumber.
class IssuanceTable {
 public:
  virtual ~IssuanceTable() = default;

  // AlreadyExists: the serial number is taken, and nothing of the row is stored. A database may collect rows and
  // counters and write them together, at the latest at the next RowWriter::BeginPart, before a FindRecorded of them and
  // before the commit.
  virtual absl::Status Insert(const NewIssuance& row) = 0;

  // Called for each renewal, so a database answers it by one statement.
  virtual absl::StatusOr<std::optional<RecordedCertificate>> FindRecorded(absl::string_view serial) = 0;
  virtual absl::StatusOr<std::optional<IssuanceRecord>> Find(const SerialNumber& serial) = 0;
  virtual absl::StatusOr<bool> Has(absl::string_view serial) = 0;
  // Whether exactly this certificate is recorded.
  virtual absl::StatusOr<bool> HasCertificate(const SerialNumber& serial, absl::string_view certificate_sha256) = 0;
  // Visits the records that match `filter`, the oldest first, until `visit` returns false. Constant memory.
  virtual absl::Status Visit(const IssuanceFilter& filter, absl::FunctionRef<bool(const IssuanceRecord&)> visit) = 0;

  // The highest RecordedCertificate::number; 0: there is none.
  virtual absl::StatusOr<int64_t> NewestNumber() = 0;
  virtual absl::StatusOr<uint64_t> Count() = 0;
  // How many certificates an authority has signed, expired ones included, pruned ones not. Cheap: from counters.
  virtual absl::StatusOr<uint64_t> CountSignedBy(const std::string& authority_id) = 0;
  // How many have not expired at `now`, by authority id; authorities without any are left out. Cheap: from counters.
  virtual absl::StatusOr<std::map<std::string, uint64_t>> CountLive(absl::Time now) = 0;

  // Deletes at most `rows_max` rows that expired before `expired_before`, those that expired first, and corrects the
  // counters; returns how many it deleted. RecordedCertificate::number goes on growing all the same.
  virtual absl::StatusOr<uint64_t> Prune(absl::Time expired_before, uint64_t rows_max) = 0;
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_ISSUANCE_TABLE_H_
