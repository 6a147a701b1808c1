#include "ca/authority/retire_not_before.h"

#include <cstdint>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "ca/authority/settings.h"
#include "ca/base/status.h"

namespace meshca {

absl::StatusOr<absl::Time> ReadRetireNotBefore(AuthorityStore& store) {
  MESHCA_ASSIGN_OR_RETURN(const std::string text, GetSettingOrEmpty(store, kSettingRetireNotBefore));
  if (text.empty()) return absl::InfinitePast();
  int64_t seconds = 0;
  if (!absl::SimpleAtoi(text, &seconds)) {
    return absl::DataLossError(absl::StrCat("setting ", kSettingRetireNotBefore, " is no number: \"", text, "\""));
  }
  return absl::FromUnixSeconds(seconds);
}

absl::Status WriteRetireNotBefore(AuthorityStore& store, absl::Time time) {
  return store.PutSetting(kSettingRetireNotBefore, absl::StrCat(absl::ToUnixSeconds(time)));
}

absl::Status LimitRetireNotBefore(AuthorityStore& store, absl::Time latest) {
  const absl::StatusOr<absl::Time> stored = ReadRetireNotBefore(store);
  // One that cannot be read holds up no word about the clock: whoever wants to retire a root is told of it.
  if (absl::IsDataLoss(stored.status())) return absl::OkStatus();
  MESHCA_RETURN_IF_ERROR(stored.status());
  return *stored <= latest ? absl::OkStatus() : WriteRetireNotBefore(store, latest);
}

}  // namespace meshca
