// Names of the settings that the CA keeps in the AuthorityStore (GetSetting, PutSetting).
#ifndef MESHCA_CA_AUTHORITY_SETTINGS_H_
#define MESHCA_CA_AUTHORITY_SETTINGS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/authority/authority_store.h"

namespace meshca {

// The newest time that this CA has seen, as ClockMark::ToText; written at most every minute.
inline constexpr absl::string_view kSettingClockMark = "clock_high_water";
// Not "": the database was restored from a backup, and the first start after that has not finished the restore yet
// (restore_finish.h), which clears the setting. If it is sealed (PutSealedSetting), an UnrecordedGrace begins too.
inline constexpr absl::string_view kSettingRecovered = "recovered";
// No root is retired before this time (Unix seconds): one longest leaf lifetime after a restore.
inline constexpr absl::string_view kSettingRetireNotBefore = "retire_not_before";
// The present UnrecordedGrace, as UnrecordedGraceToText; "": none. It grants a right, so it is a sealed setting.
inline constexpr absl::string_view kSettingUnrecordedGrace = "unrecorded_grace";

// GetSetting, but "" for a setting that was never written. Errors: the store's others.
absl::StatusOr<std::string> GetSettingOrEmpty(AuthorityStore& store, absl::string_view name);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_SETTINGS_H_
