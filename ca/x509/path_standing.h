// Whether the authorities above a client certificate are still believed: who judges callers asks it, and who keeps the
// authorities answers.
#ifndef MESHCA_CA_X509_PATH_STANDING_H_
#define MESHCA_CA_X509_PATH_STANDING_H_

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/x509/chain_verifier.h"

namespace meshca {

// What is known now of the authorities on the path that a handshake verified: a connection may outlive a rotation.
// Thread-safe; computes only.
class PathStanding {
 public:
  virtual ~PathStanding() = default;
  struct Verdict {
    // The inventory may lack the certificate (PresentedCertificate::may_be_unrecorded).
    bool may_be_unrecorded = false;
  };
  // Judges every authority of `peer.authority_ids`, and nothing that the certificate says of itself.
  // Unauthenticated (reason CERTIFICATE_ISSUER_UNKNOWN): the path is not believed any more.
  virtual absl::StatusOr<Verdict> JudgePath(const VerifiedPeer& peer, absl::Time now) const = 0;
};

}  // namespace meshca

#endif  // MESHCA_CA_X509_PATH_STANDING_H_
