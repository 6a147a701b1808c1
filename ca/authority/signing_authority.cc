#include "ca/authority/signing_authority.h"

namespace meshca {

absl::string_view AuthorityRoleName(AuthorityRole role) {
  switch (role) {
    case AuthorityRole::kRoot: return "root";
    case AuthorityRole::kIssuing: return "issuing";
  }
  return "unknown";
}

absl::string_view AuthorityStateName(AuthorityState state) {
  switch (state) {
    case AuthorityState::kPrepared: return "prepared";
    case AuthorityState::kActive: return "active";
    case AuthorityState::kOld: return "old";
    case AuthorityState::kRetired: return "retired";
  }
  return "unknown";
}

}  // namespace meshca
