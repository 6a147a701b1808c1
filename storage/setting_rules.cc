#include "storage/setting_rules.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "storage/trust_macs.h"

namespace meshca::storage {
namespace {

absl::StatusOr<WithMac<SettingRow>> FindSetting(Tables& tables, absl::string_view name) {
  MESHCA_ASSIGN_OR_RETURN(std::optional<WithMac<SettingRow>> row, tables.settings.Find(name));
  if (row.has_value()) return *std::move(row);
  return absl::NotFoundError(absl::StrCat("setting ", name, " was never set"));
}

}  // namespace

absl::StatusOr<std::string> GetSetting(Tables& tables, absl::string_view name) {
  MESHCA_ASSIGN_OR_RETURN(WithMac<SettingRow> row, FindSetting(tables, name));
  return std::move(row.value.value);
}

absl::Status PutSetting(Tables& tables, absl::string_view name, absl::string_view value) {
  return tables.settings.Put(name, value, "");
}

absl::StatusOr<std::string> GetSealedSetting(Tables& tables, const KeyEncryption& keys, absl::string_view name) {
  MESHCA_ASSIGN_OR_RETURN(WithMac<SettingRow> row, FindSetting(tables, name));
  MESHCA_ASSIGN_OR_RETURN(SettingRow setting, Verified(std::move(row), keys));
  return std::move(setting.value);
}

absl::Status PutSealedSetting(Tables& tables, const KeyEncryption& keys, absl::string_view name,
                              absl::string_view value) {
  const SettingRow row{std::string(name), std::string(value)};
  return tables.settings.Put(row.name, row.value, MacOf(row, keys));
}

absl::Status VerifySealedSettings(Tables& tables, const KeyEncryption& keys) {
  return tables.settings.VisitSealed([&](WithMac<SettingRow> row) { return Verified(std::move(row), keys).status(); });
}

}  // namespace meshca::storage
