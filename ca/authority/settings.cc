#include "ca/authority/settings.h"

namespace meshca {

absl::StatusOr<std::string> GetSettingOrEmpty(AuthorityStore& store, absl::string_view name) {
  absl::StatusOr<std::string> value = store.GetSetting(name);
  if (absl::IsNotFound(value.status())) return std::string();
  return value;
}

}  // namespace meshca
