// Serialises a trust bundle in the format that SPIFFE defines.
#ifndef MESHCA_CA_AUTHORITY_SPIFFE_BUNDLE_H_
#define MESHCA_CA_AUTHORITY_SPIFFE_BUNDLE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/authority/trust_bundle.h"

namespace meshca {

// The JWK Set of SPIFFE Trust Domain and Bundle §4: one `x509-svid` key for each root, its certificate in x5c, then one
// `jwt-svid` key for each JWT key, named by its kid; spiffe_sequence and spiffe_refresh_hint beside the keys.
// Compact JSON, the same bytes for the same bundle. Internal: OpenSSL, or a kid with other than base64url characters.
absl::StatusOr<std::string> SpiffeBundleJson(const TrustBundle& bundle, absl::Duration refresh_hint);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_SPIFFE_BUNDLE_H_
