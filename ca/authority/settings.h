// Settings of AuthorityStore (GetSetting, PutSetting) that are kept beside the authorities.
#ifndef MESHCA_CA_AUTHORITY_SETTINGS_H_
#define MESHCA_CA_AUTHORITY_SETTINGS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/authority/authority_store.h"

namespace meshca {

// Newest time this CA has seen, as ClockMark::ToText; written at most every minute.
inline constexpr absl::string_view kSettingClockMark = "clock_high_water";
// Not "": the database was restored from a backup, which sets it. Start then makes a new issuing authority, because the
// old key may have signed what the backup does not know, raises the bundle's number and clears the setting. With a seal
// it also begins an UnrecordedGrace.
inline constexpr absl::string_view kSettingRecovered = "recovered";
// No root is retired before this time (Unix seconds): one longest leaf after a restore.
inline constexpr absl::string_view kSettingRetireNotBefore = "retire_not_before";
// The UnrecordedGrace that stands, as UnrecordedGraceToText; "": none. It grants a right, so it is kept with a MAC.
inline constexpr absl::string_view kSettingUnrecordedGrace = "unrecorded_grace";

// What GetSetting says, or "" for a setting that was never set. The other errors of the store.
absl::StatusOr<std::string> GetSettingOrEmpty(AuthorityStore& store, absl::string_view name);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_SETTINGS_H_
