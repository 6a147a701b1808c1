#include "ca/authority/trust_withdrawal.h"

#include <algorithm>

#include "ca/authority/authority_lookup.h"

namespace meshca {
namespace {

bool IsTrustGone(const AuthoritySnapshot& before, const AuthoritySnapshot& after) {
  if (before.bundle == nullptr || before.bundle == after.bundle) return false;
  return after.bundle == nullptr || LosesAuthority(*before.bundle, *after.bundle);
}

}  // namespace

bool TakesTrustAway(const AuthoritySnapshot& before, const AuthoritySnapshot& after) {
  if (IsTrustGone(before, after)) return true;
  // A change of this state is rare: whatever it is, nobody stays who only fitted the one before.
  if (before.unrecorded.has_value() && before.unrecorded != after.unrecorded) return true;
  return std::any_of(after.authorities.begin(), after.authorities.end(), [&before](const SigningAuthority& authority) {
    const SigningAuthority* const known = FindAuthority(before.authorities, authority.id);
    const bool was_tainted = known != nullptr && known->tainted;
    const bool was_retired = known != nullptr && known->state == AuthorityState::kRetired;
    return (authority.tainted && !was_tainted) || (authority.state == AuthorityState::kRetired && !was_retired);
  });
}

}  // namespace meshca
