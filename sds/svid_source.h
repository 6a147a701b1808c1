// Issues the certificates for the keys of the key ring. `meshca serve` uses its issuance pipeline; an agent asks its
// CA.
#ifndef MESHCA_SDS_SVID_SOURCE_H_
#define MESHCA_SDS_SVID_SOURCE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "ca/identity/caller_identity.h"
#include "ca/spiffe/spiffe_id.h"
#include "ca/x509/certificate_chain.h"
#include "ca/x509/signing_key.h"
#include "ca/x509/validity.h"

namespace meshca::sds {

// An X.509-SVID that may be handed out: its CA has recorded it durably.
struct Svid {
  CertificateChain chain;  // leaf first, root left out
  // chain.issuers() as PEM, one element for each certificate, if they are encoded already: they are the same for every
  // leaf of one authority. Null: they are not encoded yet.
  std::shared_ptr<const std::vector<std::string>> issuers_pem;
  Validity validity;         // of the leaf
  std::string serial;        // of the leaf; hex
  std::string authority_id;  // of the authority that signed the leaf; a rotation reissues what a stale one signed

  // The whole chain as one PEM text.
  std::string ChainPem() const;
};

// A request for one certificate.
struct SvidRequest {
  SpiffeId id;
  // The future holder, as its authenticator saw it last. `caller.instance` and `caller.node` name the subscriber;
  // `caller.parent_serial` names the certificate that is renewed ("": this is a first certificate).
  CallerIdentity caller;
};

// Waiting will not mend it: the caller may not have the identity, or the profile forbids what was asked for it.
// PermissionDenied, Unauthenticated or InvalidArgument.
bool IsFinalRefusal(const absl::Status& status);

// Thread-safe.
class SvidSource {
 public:
  using Done = absl::AnyInvocable<void(absl::StatusOr<Svid>) &&>;
  virtual ~SvidSource() = default;

  // Asks for a certificate for `key` and returns; never blocks. `key` is valid until this returns: the implementation
  // takes its public half, or signs a CSR with it. `done` runs once, on any thread, perhaps before this returns, and
  // must not block.
  // Final errors: PermissionDenied, Unauthenticated (reason CERTIFICATE_REVOKED where the parent was revoked),
  // InvalidArgument. After any other error the caller tries again.
  virtual void Obtain(SvidRequest request, const SigningKey& key, Done done) = 0;
};

}  // namespace meshca::sds

#endif  // MESHCA_SDS_SVID_SOURCE_H_
