// The reader behind Certificate::Parse. For ca/x509 alone.
#ifndef MESHCA_CA_X509_CERTIFICATE_READER_H_
#define MESHCA_CA_X509_CERTIFICATE_READER_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/x509/certificate.h"

namespace meshca {

// What stands where in a certificate's DER. The views point into it.
struct CertificateParts {
  absl::string_view tbs;
  absl::string_view signature_algorithm;
  absl::string_view signature;
  absl::string_view spki;
  CertificateFields fields;
};

// InvalidArgument (CERTIFICATE_MALFORMED) names the field that cannot be read. Does not look at the key.
absl::StatusOr<CertificateParts> ReadCertificate(absl::string_view der);

// RFC 2253 text of an encoded Name: "CN=meshca root 3f9a..."; "" for an empty one. Slow: for people.
std::string NameText(const std::string& der);

// Certificate::spiffe_id of what was read.
absl::StatusOr<SpiffeId> OneSpiffeId(const CertificateFields& fields);

}  // namespace meshca

#endif  // MESHCA_CA_X509_CERTIFICATE_READER_H_
