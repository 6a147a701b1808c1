// Writes the TBSCertificate of a leaf: the hot path's half of signing.
#ifndef MESHCA_CA_X509_LEAF_TEMPLATE_H_
#define MESHCA_CA_X509_LEAF_TEMPLATE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/spiffe/spiffe_id.h"
#include "ca/x509/certificate.h"
#include "ca/x509/public_key.h"
#include "ca/x509/serial_number.h"
#include "ca/x509/validity.h"

namespace meshca {

// What differs from one leaf to the next.
struct LeafFields {
  SerialNumber serial;
  Validity validity;
  SpiffeId spiffe_id;  // with a path
  std::vector<std::string> dns_names;
  PublicKey public_key;
};

// All that leaves under one issuing certificate have in common, encoded once. Subject empty; subjectAltName (critical)
// with the SPIFFE ID as its first name and only URI; cA false; keyUsage digitalSignature (critical), for RSA keys
// also keyEncipherment; serverAuth and clientAuth; both key identifiers. Immutable, thread-safe.
class LeafTemplate {
 public:
  // `signature_algorithm` is the signing key's. InvalidArgument: `issuer` has no subject.
  static absl::StatusOr<LeafTemplate> Make(const Certificate& issuer, absl::string_view signature_algorithm);

  // The DER TBSCertificate. Byte for byte what BuildLeafTbsByOpenSsl (leaf_builder.h) makes.
  std::string BuildTbs(const LeafFields& fields) const;
  // The certificate: `tbs`, the algorithm and `signature`.
  Der Assemble(absl::string_view tbs, absl::string_view signature) const;

 private:
  LeafTemplate() = default;
  std::string algorithm_and_issuer_;  // signature, issuer
  std::string algorithm_;
  std::string fixed_extensions_;  // basicConstraints, extendedKeyUsage, authorityKeyIdentifier
};

}  // namespace meshca

#endif  // MESHCA_CA_X509_LEAF_TEMPLATE_H_
