#include "ca/authority/retire_not_before.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "ca/authority/settings.h"
#include "ca/base/status.h"
#include "ca/base/utc_text.h"

namespace meshca {

absl::StatusOr<absl::Time> ReadRetireNotBefore(AuthorityStore& store) {
  MESHCA_ASSIGN_OR_RETURN(const std::string text, GetSettingOrEmpty(store, kSettingRetireNotBefore));
  if (text.empty()) return absl::InfinitePast();
  int64_t seconds = 0;
  if (!absl::SimpleAtoi(text, &seconds)) {
    return absl::DataLossError(absl::StrCat("setting ", kSettingRetireNotBefore, " is no number: \"", text,
                                            "\"; restore a backup (meshca db restore)"));
  }
  return absl::FromUnixSeconds(seconds);
}

absl::Status WriteRetireNotBefore(AuthorityStore& store, absl::Time time) {
  return store.PutSetting(kSettingRetireNotBefore, absl::StrCat(absl::ToUnixSeconds(time)));
}

absl::StatusOr<absl::Time> RetireNotBeforeOf(const RootRotation& rotation, const AuthoritySnapshot& authorities,
                                             AuthorityStore& store) {
  MESHCA_ASSIGN_OR_RETURN(const absl::Time stored, ReadRetireNotBefore(store));
  if (!authorities.unrecorded.has_value()) return stored;
  const std::vector<std::string>& signers = authorities.unrecorded->authority_ids;
  const bool under_old_root =
      std::any_of(authorities.authorities.begin(), authorities.authorities.end(), [&](const SigningAuthority& one) {
        return one.root_id == rotation.old_root_id &&
               std::find(signers.begin(), signers.end(), one.id) != signers.end();
      });
  return under_old_root ? std::max(stored, authorities.unrecorded->until) : stored;
}

std::string WhyNotRetiredBefore(absl::Time not_before) {
  return absl::StrCat(
      "certificates without a record may be alive (the database was restored from a backup, or a CA was imported with "
      "--renew-unrecorded): this root is not retired before ",
      UtcText(not_before));
}

absl::Status LimitRetireNotBefore(AuthorityStore& store, absl::Time latest) {
  const absl::StatusOr<absl::Time> stored = ReadRetireNotBefore(store);
  // One that cannot be read holds up no word about the clock: whoever wants to retire a root is told of it.
  if (absl::IsDataLoss(stored.status())) return absl::OkStatus();
  MESHCA_RETURN_IF_ERROR(stored.status());
  return *stored <= latest ? absl::OkStatus() : WriteRetireNotBefore(store, latest);
}

}  // namespace meshca
