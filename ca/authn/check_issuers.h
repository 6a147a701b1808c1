// The doctor's lines about the issuers whose tokens are accepted.
#ifndef MESHCA_CA_AUTHN_CHECK_ISSUERS_H_
#define MESHCA_CA_AUTHN_CHECK_ISSUERS_H_

#include <vector>

#include "ca/authn/jwt_authenticator.h"
#include "ca/base/checked_fact.h"

namespace meshca {

// One line an issuer, with the file or URL of its keys and the error of the last look. Failed: none of its tokens can
// be accepted (never reached, not reached for too long, no usable key). Warning: the last look failed and the keys of
// an earlier one are used, or a key is broken and left out. Keys for other uses are counted and no fault.
void CheckTokenIssuers(const std::vector<JwtIssuerReport>& issuers, std::vector<CheckedFact>& facts);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHN_CHECK_ISSUERS_H_
