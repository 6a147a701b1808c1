// A certificate request whose sender holds the private key (PKCS#10, RFC 2986).
#ifndef MESHCA_CA_X509_CSR_H_
#define MESHCA_CA_X509_CSR_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/x509/public_key.h"

namespace meshca {

// Parsed, proof of possession verified. What it asks for is a wish: names come from the authenticated caller.
// Immutable value, thread-safe.
class Csr {
 public:
  static constexpr size_t kBytesMax = 64 * 1024;

  // DER, or PEM: `CERTIFICATE REQUEST`, or keytool's `NEW CERTIFICATE REQUEST`; exactly one block, explanatory text
  // before it (RFC 7468 §5.2), nothing but white space after it. P-256 in strict DER takes our own reader, everything
  // else OpenSSL's; both give the same verdicts.
  //
  // InvalidArgument, with the reason
  //   CSR_TOO_LARGE            more than 64 KiB
  //   CSR_MALFORMED            truncated, not a PKCS#10 request, or an extension asked for cannot be read
  //   CSR_TRAILING_DATA        bytes after the request, or a second PEM block
  //   CSR_PEM_LABEL            a PEM block of something else (says of what)
  //   CSR_SIGNATURE_INVALID    the signature does not fit the key inside
  //   CSR_SIGNATURE_WEAK       signed with MD5 or SHA-1
  //   CSR_SIGNATURE_UNSUPPORTED
  //   CSR_KEY_WEAK             RSA below 2048 or above 4096 bits, a curve below P-256, DSA
  //   CSR_KEY_UNSUPPORTED      any other key
  //   CSR_KEY_MALFORMED        not a key, or a point outside its curve
  static absl::StatusOr<Csr> Parse(absl::string_view pem_or_der);
  // Parse without our own reader: what the differential test compares it with.
  static absl::StatusOr<Csr> ParseByOpenSsl(absl::string_view pem_or_der);

  const PublicKey& public_key() const { return public_key_; }
  // subjectAltName, as asked for, in order, each kind apart. Bytes are printable ASCII.
  const std::vector<std::string>& uri_names() const { return uri_names_; }
  const std::vector<std::string>& dns_names() const { return dns_names_; }
  // For people, with their kind: "IP:10.0.0.1", "email:a@b.test", "other".
  const std::vector<std::string>& other_names() const { return other_names_; }
  // basicConstraints with cA TRUE, or keyUsage with keyCertSign or cRLSign.
  bool asks_for_ca() const { return asks_for_ca_; }
  // The subject's (last) common name, escaped; "" for none.
  const std::string& common_name() const { return common_name_; }

 private:
  friend class CsrReader;
  PublicKey public_key_;
  std::vector<std::string> uri_names_;
  std::vector<std::string> dns_names_;
  std::vector<std::string> other_names_;
  bool asks_for_ca_ = false;
  std::string common_name_;
};

}  // namespace meshca

#endif  // MESHCA_CA_X509_CSR_H_
