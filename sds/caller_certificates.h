// What a client certificate that a caller shows is worth: asked of the CA's inventory, or of the CA by an agent.
#ifndef MESHCA_SDS_CALLER_CERTIFICATES_H_
#define MESHCA_SDS_CALLER_CERTIFICATES_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/identity/caller_identity.h"

namespace meshca::sds {

// How a certificate stands among those that were issued in turn for one holder, each a renewal of the one before.
struct CertificateAncestry {
  std::string parent_serial;  // hex, of the certificate it renews; "": it renews none
  std::string line_serial;    // hex, of the first one of them all; "": it is the first itself
};

// Thread-safe. Every call may block: on a database, or on the network.
class CallerCertificates {
 public:
  virtual ~CallerCertificates() = default;

  // May a caller who shows this certificate be served at all, now? The handshake has proved its path and its key;
  // that the CA issued it, and has not taken it back, is judged here. `trusted_issuers`: see CallerIdentity.
  // Unauthenticated, PermissionDenied: no, with the reason. Unavailable: nobody can say now.
  virtual absl::StatusOr<CertificateAncestry> Judge(
      const PresentedCertificate& shown, const std::shared_ptr<const std::vector<std::string>>& trusted_issuers) = 0;

  // The serial number (hex) of the certificate that the one with this serial number renewed; "": it renewed none.
  // NotFound: no such certificate. InvalidArgument: not a serial number. Unavailable.
  virtual absl::StatusOr<std::string> ParentOf(absl::string_view serial) = 0;
};

}  // namespace meshca::sds

#endif  // MESHCA_SDS_CALLER_CERTIFICATES_H_
