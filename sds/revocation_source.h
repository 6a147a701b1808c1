// Tells which certificates were revoked. `meshca serve` asks its inventory; an agent knows what its CA told it.
#ifndef MESHCA_SDS_REVOCATION_SOURCE_H_
#define MESHCA_SDS_REVOCATION_SOURCE_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace meshca::sds {

// Thread-safe.
class RevocationSource {
 public:
  virtual ~RevocationSource() = default;

  // Whether the certificate with this serial number (hex) was revoked; false for an unknown one. May block on a
  // database. Unavailable: it cannot be said now; ask again.
  virtual absl::StatusOr<bool> IsRevoked(absl::string_view serial) = 0;
};

}  // namespace meshca::sds

#endif  // MESHCA_SDS_REVOCATION_SOURCE_H_
