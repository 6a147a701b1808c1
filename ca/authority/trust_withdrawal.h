// Tells whether a change of the authorities ends the trust in somebody who may be connected now.
#ifndef MESHCA_CA_AUTHORITY_TRUST_WITHDRAWAL_H_
#define MESHCA_CA_AUTHORITY_TRUST_WITHDRAWAL_H_

#include "ca/authority/authority_snapshot.h"

namespace meshca {

// Whether `after` trusts less than `before`, so that connected callers must be judged again: an authority was tainted
// or retired, a root or a JWT key is gone, or the UnrecordedGrace ended or changed. Pure.
bool TakesTrustAway(const AuthoritySnapshot& before, const AuthoritySnapshot& after);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_TRUST_WITHDRAWAL_H_
