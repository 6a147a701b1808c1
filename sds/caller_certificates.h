// Whether a caller's client certificate is still good, and what it renewed. `meshca serve` looks it up in the inventory
// of issued certificates; an agent asks its CA.
#ifndef MESHCA_SDS_CALLER_CERTIFICATES_H_
#define MESHCA_SDS_CALLER_CERTIFICATES_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/identity/caller_identity.h"

namespace meshca::sds {

// Where a certificate stands in its line: a first certificate and the renewals of it, each of the one before.
struct CertificateAncestry {
  std::string parent_serial;  // of the certificate that this one renews, in hex; "": it renews none
  std::string line_serial;    // of the first certificate of the line, in hex; "": this one is the first
};

// Thread-safe. Every call may block: on a database, or on the network.
class CallerCertificates {
 public:
  virtual ~CallerCertificates() = default;

  // May a caller who shows this certificate be served now? The TLS handshake has proved the path and the possession of
  // the key. Here it is judged whether the CA issued the certificate and has not revoked it. `trusted_origins`: see
  // CallerIdentity. Errors: Unauthenticated or PermissionDenied (no, with the reason); Unavailable (cannot be said
  // now).
  virtual absl::StatusOr<CertificateAncestry> Judge(const PresentedCertificate& shown,
                                                    const std::shared_ptr<const TrustedOrigins>& trusted_origins) = 0;

  // The serial number (hex) of the certificate that the certificate `serial` (hex) renewed; "": it renewed none.
  // Errors: NotFound (no such certificate), InvalidArgument (not a serial number), Unavailable (ask again).
  virtual absl::StatusOr<std::string> ParentOf(absl::string_view serial) = 0;
};

}  // namespace meshca::sds

#endif  // MESHCA_SDS_CALLER_CERTIFICATES_H_
