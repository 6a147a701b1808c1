// Who knows which certificates were revoked: the CA's inventory, or what a CA tells its agents.
#ifndef MESHCA_SDS_REVOCATION_SOURCE_H_
#define MESHCA_SDS_REVOCATION_SOURCE_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace meshca::sds {

// Thread-safe.
class RevocationSource {
 public:
  virtual ~RevocationSource() = default;

  // Was the certificate with this serial number (hex) revoked? One that is not known was not. May block on a database.
  // Unavailable: it cannot be said now; to be asked again.
  virtual absl::StatusOr<bool> IsRevoked(absl::string_view serial) = 0;
};

}  // namespace meshca::sds

#endif  // MESHCA_SDS_REVOCATION_SOURCE_H_
