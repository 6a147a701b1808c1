#include "storage/sqlite/packed_strings.h"

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "storage/canonical_bytes.h"
#include "storage/restore_advice.h"

namespace meshca::storage {

std::string PackStrings(const std::vector<std::string>& strings) { return CanonicalBytes().AddAll(strings).bytes(); }

absl::StatusOr<std::vector<std::string>> UnpackStrings(absl::string_view bytes) {
  auto number = [&bytes](uint64_t& value) {
    if (bytes.size() < 8) return false;
    value = 0;
    for (int i = 0; i < 8; ++i) value = value << 8 | static_cast<uint8_t>(bytes[i]);
    bytes.remove_prefix(8);
    return true;
  };
  const absl::Status malformed = absl::DataLossError(absl::StrCat("database: a list is damaged; ", RestoreAdvice()));
  uint64_t count = 0;
  if (!number(count) || count > bytes.size() / 8) return malformed;
  std::vector<std::string> strings;
  for (uint64_t size = 0; strings.size() < count;) {
    if (!number(size) || size > bytes.size()) return malformed;
    strings.emplace_back(bytes.substr(0, size));
    bytes.remove_prefix(size);
  }
  if (!bytes.empty()) return malformed;
  return strings;
}

}  // namespace meshca::storage
