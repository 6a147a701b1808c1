// Database rows of the CA's own settings.
#ifndef MESHCA_STORAGE_SETTING_TABLE_H_
#define MESHCA_STORAGE_SETTING_TABLE_H_

#include <optional>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/with_mac.h"

namespace meshca::storage {

struct SettingRow {
  std::string name;
  std::string value;
};

class SettingTable {
 public:
  virtual ~SettingTable() = default;

  // nullopt: there is none of this name. The MAC is "" if the setting is not sealed.
  virtual absl::StatusOr<std::optional<WithMac<SettingRow>>> Find(absl::string_view name) = 0;
  // Inserts the row, or replaces the one of this name.
  virtual absl::Status Put(absl::string_view name, absl::string_view value, absl::string_view mac) = 0;
  // Visits the settings that have a MAC, until `visit` returns an error, which is then returned.
  virtual absl::Status VisitSealed(absl::FunctionRef<absl::Status(WithMac<SettingRow>)> visit) = 0;
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_SETTING_TABLE_H_
