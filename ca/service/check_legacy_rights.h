// What an operator is told of the identities that need an entry since an upgrade.
#ifndef MESHCA_CA_SERVICE_CHECK_LEGACY_RIGHTS_H_
#define MESHCA_CA_SERVICE_CHECK_LEGACY_RIGHTS_H_

#include <string>
#include <vector>

#include "ca/base/checked_fact.h"
#include "ca/issuance/legacy_rights.h"

namespace meshca {

// The command that lets the identity go on: "meshca entry create spiffe://TD/web --selector unix:uid:0". Where the uid
// names nobody, what to do instead.
std::string LegacyRightAdvice(const LegacyRight& right);

// For `meshca check`, and as lines of the start log. One Ok fact where there are none.
std::vector<CheckedFact> LegacyRightsFacts(const LegacyRights& rights);

}  // namespace meshca

#endif  // MESHCA_CA_SERVICE_CHECK_LEGACY_RIGHTS_H_
