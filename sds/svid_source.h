// Where certificates for keys come from: the issuance pipeline of this process, or a CA that an agent asks.
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

// An X.509-SVID that may leave: whoever signed it has recorded it for good.
struct Svid {
  CertificateChain chain;  // leaf first, root left out
  // chain.issuers() as PEM, one element each, where somebody has encoded them already: they are the same for every leaf
  // of one authority. Null: nobody has.
  std::shared_ptr<const std::vector<std::string>> issuers_pem;
  Validity validity;         // of the leaf
  std::string serial;        // of the leaf; hex
  std::string authority_id;  // names the authority that signed the leaf: what a reissue is decided by

  // The whole chain as one PEM text.
  std::string ChainPem() const;
};

// One certificate asked for.
struct SvidRequest {
  SpiffeId id;
  // Who will hold it, as its authenticator judged it last. Its `instance` and `node` name the subscriber, and its
  // `parent_serial` the certificate that this one renews, which makes it a renewal; "": a first certificate.
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

  // Asks for a certificate for `key` and returns; never blocks. `key` is valid until this returns: whoever needs no
  // proof of possession takes its public half, whoever needs a CSR signs one. `done` runs once, on any thread, perhaps
  // before this returns, and must not block.
  // Errors that no waiting mends: PermissionDenied, Unauthenticated (reason CERTIFICATE_REVOKED where the parent was
  // revoked), InvalidArgument. All others are worth another attempt.
  virtual void Obtain(SvidRequest request, const SigningKey& key, Done done) = 0;
};

}  // namespace meshca::sds

#endif  // MESHCA_SDS_SVID_SOURCE_H_
