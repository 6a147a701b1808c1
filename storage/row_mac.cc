#include "storage/row_mac.h"

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "ca/base/secret.h"
#include "ca/base/status.h"
#include "storage/restore_advice.h"

namespace meshca::storage {
namespace {

constexpr uint8_t kVersion = 1;
constexpr size_t kMacBytes = 32;  // HMAC-SHA-256

}  // namespace

std::string RowMac(const KeyEncryption& keys, absl::string_view table, const CanonicalBytes& row) {
  std::string mac(1, static_cast<char>(kVersion));
  return mac += keys.RowMac(table, row.bytes());
}

absl::Status CheckRowMac(absl::string_view table, absl::string_view name, absl::string_view stored,
                         absl::string_view current) {
  if (stored.size() == kMacBytes) current.remove_prefix(1);
  if (ConstantTimeEquals(stored, current)) return absl::OkStatus();
  if (stored.size() > kMacBytes && static_cast<uint8_t>(stored[0]) > kVersion) {
    return WithReason(absl::FailedPreconditionError(absl::StrCat(
                          "database: ", table, " ", name, ": written by a newer meshca (its MAC has version ",
                          static_cast<uint8_t>(stored[0]), ", and this one knows ", kVersion,
                          "): run that one, or restore a backup made by this one (meshca db restore FILE)")),
                      "ROW_MAC_NEWER");
  }
  return RowForged(table, name);
}

absl::Status RowForged(absl::string_view table, absl::string_view row) {
  return WithReason(absl::DataLossError(absl::StrCat("database: ", table, " ", row,
                                                     ": the row does not fit its MAC: it was written by hand, or the "
                                                     "key-encryption key is not this database's; ",
                                                     RestoreAdvice())),
                    "ROW_MAC_MISMATCH");
}

}  // namespace meshca::storage
