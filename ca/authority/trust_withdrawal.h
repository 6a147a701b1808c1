// Which changes of the authorities take trust away from somebody who is believed now.
#ifndef MESHCA_CA_AUTHORITY_TRUST_WITHDRAWAL_H_
#define MESHCA_CA_AUTHORITY_TRUST_WITHDRAWAL_H_

#include "ca/authority/authority_snapshot.h"

namespace meshca {

// Does the change from `before` to `after` take trust away, so that who is connected must be judged again: an authority
// newly tainted or retired, a root or a JWT key gone, the time without records ended or narrowed? Pure.
bool TakesTrustAway(const AuthoritySnapshot& before, const AuthoritySnapshot& after);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_TRUST_WITHDRAWAL_H_
