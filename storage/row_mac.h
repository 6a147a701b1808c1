// The MAC of a row that grants trust, as the row's column holds it.
#ifndef MESHCA_STORAGE_ROW_MAC_H_
#define MESHCA_STORAGE_ROW_MAC_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "ca/authority/key_encryption.h"
#include "storage/canonical_bytes.h"

namespace meshca::storage {

// One byte, the version of what the MAC covers, and KeyEncryption::RowMac over `row`, the columns of a row of `table`.
std::string RowMac(const KeyEncryption& keys, absl::string_view table, const CanonicalBytes& row);

// Does `stored`, of the row `name` of `table`, fit `current`, which is RowMac of its other columns? Schema versions 1
// and 2 stored the same MAC without the first byte, so its length tells them apart; it stays good until the row is
// written again. DataLoss (ROW_MAC_MISMATCH): it does not fit. FailedPrecondition (ROW_MAC_NEWER): a newer meshca wrote
// it, and covered more than this one knows.
absl::Status CheckRowMac(absl::string_view table, absl::string_view name, absl::string_view stored,
                         absl::string_view current);

// The DataLoss of a row whose MAC does not fit.
absl::Status RowForged(absl::string_view table, absl::string_view row);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_ROW_MAC_H_
