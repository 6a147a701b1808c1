// Computes and checks the MAC that is stored with each row that grants trust.
#ifndef MESHCA_STORAGE_ROW_MAC_H_
#define MESHCA_STORAGE_ROW_MAC_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "ca/authority/key_encryption.h"
#include "storage/canonical_bytes.h"

namespace meshca::storage {

// The MAC to store: one byte, the version of what the MAC covers, then KeyEncryption::RowMac over `row`, which encodes
// the columns of a row of `table`.
std::string RowMac(const KeyEncryption& keys, absl::string_view table, const CanonicalBytes& row);

// Checks the MAC `stored` of the row `name` of `table` against `current`, which is RowMac of the row's other columns.
// Schema versions 1 and 2 stored the MAC without the first byte; such a MAC, known by its length, is valid until the
// row is written again. DataLoss (ROW_MAC_MISMATCH): they differ. FailedPrecondition (ROW_MAC_NEWER): a newer meshca
// wrote the row, and its MAC covers more than this version knows.
absl::Status CheckRowMac(absl::string_view table, absl::string_view name, absl::string_view stored,
                         absl::string_view current);

// The DataLoss of a row whose MAC does not fit.
absl::Status RowForged(absl::string_view table, absl::string_view row);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_ROW_MAC_H_
