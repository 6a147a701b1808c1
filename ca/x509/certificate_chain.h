// A leaf certificate with what leads from it towards a root.
#ifndef MESHCA_CA_X509_CERTIFICATE_CHAIN_H_
#define MESHCA_CA_X509_CERTIFICATE_CHAIN_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "ca/x509/certificate.h"
#include "ca/x509/encoding.h"

namespace meshca {

// Leaf first, each signed by the next, root left out. The leaf is kept as bytes: the hot path never parses what it has
// just made. Immutable value, thread-safe.
class CertificateChain {
 public:
  CertificateChain() = default;

  // Checks that each certificate verifies under the next and that none after the leaf is self-signed.
  // InvalidArgument names the certificate by its place.
  static absl::StatusOr<CertificateChain> Make(const std::vector<Certificate>& leaf_first);
  // For the issuer alone, who knows: `leaf` was signed by the first of `issuers` just now.
  static CertificateChain FromIssuance(Der leaf, std::vector<Certificate> issuers) {
    return CertificateChain(std::move(leaf), std::move(issuers));
  }

  const Der& leaf() const { return leaf_; }
  Pem LeafPem() const { return PemEncode(kPemCertificate, leaf_); }
  absl::StatusOr<Certificate> ParseLeaf() const { return Certificate::Parse(leaf_); }
  // What follows the leaf, nearest first.
  const std::vector<Certificate>& issuers() const { return issuers_; }

  // One PEM block an element, leaf first, root left out.
  std::vector<std::string> PemElements() const;
  // All of it as one PEM text: a certificate chain file, an Envoy `certificate_chain`.
  std::string ToPem() const;

 private:
  CertificateChain(Der leaf, std::vector<Certificate> issuers) : leaf_(std::move(leaf)), issuers_(std::move(issuers)) {}
  Der leaf_;
  std::vector<Certificate> issuers_;
};

}  // namespace meshca

#endif  // MESHCA_CA_X509_CERTIFICATE_CHAIN_H_
