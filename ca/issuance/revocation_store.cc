#include "ca/issuance/revocation_store.h"

#include <array>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

constexpr std::array<std::pair<RevocationReason, absl::string_view>, 6> kNames = {{
    {RevocationReason::kUnspecified, "unspecified"},
    {RevocationReason::kKeyCompromise, "keyCompromise"},
    {RevocationReason::kAffiliationChanged, "affiliationChanged"},
    {RevocationReason::kSuperseded, "superseded"},
    {RevocationReason::kCessationOfOperation, "cessationOfOperation"},
    {RevocationReason::kPrivilegeWithdrawn, "privilegeWithdrawn"},
}};

}  // namespace

absl::string_view RevocationReasonName(RevocationReason reason) {
  for (const auto& [value, name] : kNames) {
    if (value == reason) return name;
  }
  return "unknown";
}

absl::StatusOr<RevocationReason> ParseRevocationReason(absl::string_view name) {
  std::string known;
  for (const auto& [value, text] : kNames) {
    if (absl::EqualsIgnoreCase(text, name)) return value;
    absl::StrAppend(&known, known.empty() ? "" : ", ", text);
  }
  return WithReason(
      absl::InvalidArgumentError(absl::StrCat("\"", name, "\" is no reason of RFC 5280; those are: ", known)),
      "REVOCATION_REASON");
}

}  // namespace meshca
