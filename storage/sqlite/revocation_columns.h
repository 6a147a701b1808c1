// Reads what a row says of revocations.
#ifndef MESHCA_STORAGE_SQLITE_REVOCATION_COLUMNS_H_
#define MESHCA_STORAGE_SQLITE_REVOCATION_COLUMNS_H_

#include <optional>

#include "storage/recorded_certificate.h"
#include "storage/sqlite/database.h"

namespace meshca::storage {

// The next `count` pairs of the columns revoked_at and reason, each NULL where no operation that is done is named: the
// first pair that is not.
inline std::optional<Revocation> ReadRevocation(Query& row, int count) {
  std::optional<Revocation> revocation;
  for (int i = 0; i < count; ++i) {
    const bool named = !row.NextColumnIs(SQLITE_NULL);
    const absl::Time at = row.Time();
    const int reason = static_cast<int>(row.Int());
    if (named && !revocation.has_value()) revocation = Revocation{at, reason};
  }
  return revocation;
}

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_SQLITE_REVOCATION_COLUMNS_H_
