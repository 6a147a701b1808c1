// A list of strings as one column: CanonicalBytes::AddAll, and back.
#ifndef MESHCA_STORAGE_SQLITE_PACKED_STRINGS_H_
#define MESHCA_STORAGE_SQLITE_PACKED_STRINGS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace meshca::storage {

std::string PackStrings(const std::vector<std::string>& strings);
// DataLoss: other bytes.
absl::StatusOr<std::vector<std::string>> UnpackStrings(absl::string_view bytes);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_SQLITE_PACKED_STRINGS_H_
