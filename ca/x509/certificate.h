// An X.509 certificate, read (RFC 5280).
#ifndef MESHCA_CA_X509_CERTIFICATE_H_
#define MESHCA_CA_X509_CERTIFICATE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/spiffe/spiffe_id.h"
#include "ca/x509/encoding.h"
#include "ca/x509/public_key.h"
#include "ca/x509/serial_number.h"
#include "ca/x509/validity.h"

namespace meshca {

// Bits of KeyUsage (RFC 5280 §4.2.1.3), first bit lowest.
enum KeyUsage : uint16_t {
  kDigitalSignature = 1 << 0,
  kKeyEncipherment = 1 << 2,
  kKeyAgreement = 1 << 4,
  kKeyCertSign = 1 << 5,
  kCrlSign = 1 << 6,
};

// What reading a certificate found. Names are printable ASCII, escaped where they were not.
struct CertificateFields {
  // Lower-case hex of the INTEGER without leading zero bytes, any size up to 20 bytes; "00" for zero, which RFC 5280
  // forbids and old roots have.
  std::string serial_hex;
  std::string issuer_der;  // Name, as encoded
  std::string subject_der;
  Validity validity;
  std::vector<std::string> uri_names;  // subjectAltName, in order
  std::vector<std::string> dns_names;
  std::vector<std::string> ip_addresses;
  bool has_other_names = false;  // of any other kind
  bool subject_alt_name_critical = false;
  bool has_basic_constraints = false;
  bool is_ca = false;
  std::optional<int> path_len;
  std::optional<uint16_t> key_usage;  // nothing: the extension is absent
  bool has_extended_key_usage = false;
  bool server_auth = false;  // also by anyExtendedKeyUsage
  bool client_auth = false;
  bool has_name_constraints = false;
  std::string unknown_critical;  // dotted OID of a critical extension this reader does not know; ""
  std::string subject_key_id;    // raw bytes; ""
  std::string authority_key_id;  // raw bytes; ""
};

// Immutable, a cheap shared copy, thread-safe. A default-constructed one is empty: a place to assign to, on which only
// empty() may be called.
class Certificate {
 public:
  Certificate() = default;

  // One certificate, nothing after it. The signature is not checked: VerifiesUnder does that. InvalidArgument
  // (reason CERTIFICATE_MALFORMED, or the public key's) says what is wrong with it.
  static absl::StatusOr<Certificate> Parse(const Der& der);
  // One PEM block.
  static absl::StatusOr<Certificate> Parse(const Pem& pem);
  // One or more PEM blocks, in order; an error names the block by its number.
  static absl::StatusOr<std::vector<Certificate>> ParseAll(const Pem& pem);

  bool empty() const { return rep_ == nullptr; }
  const Der& der() const;
  const Pem& pem() const;
  const CertificateFields& fields() const;
  const PublicKey& public_key() const;

  const std::string& serial_hex() const { return fields().serial_hex; }
  // The serial where it is of meshca's own form.
  std::optional<SerialNumber> serial() const;
  // RFC 2253 text: "CN=meshca root 3f9a..."; "" for an empty Name.
  std::string subject() const;
  std::string issuer() const;
  const Validity& validity() const { return fields().validity; }
  bool is_ca() const { return fields().is_ca; }
  std::optional<int> path_len() const { return fields().path_len; }
  // The one URI name, when it is a SPIFFE ID. InvalidArgument: none, several, or no SPIFFE ID.
  absl::StatusOr<SpiffeId> spiffe_id() const;

  // SHA-256 of the DER certificate, 32 raw bytes; what IssuanceRecord::certificate_sha256 holds.
  const std::string& sha256() const;
  // The fingerprint people compare, and SigningAuthority::id: hex SHA-256 of the SubjectPublicKeyInfo.
  std::string spki_sha256_hex() const { return public_key().sha256_hex(); }

  // The subject is the issuer and the signature verifies under the own key: what a root looks like. By any algorithm,
  // SHA-1 included, because a root is believed for where it was found, and nobody relies on its own signature.
  bool IsSelfSigned() const;
  // Names, key identifiers and signature fit: `issuer` signed this. Looks at neither dates nor extensions.
  // InvalidArgument says which of the three does not fit.
  absl::Status VerifiesUnder(const Certificate& issuer) const;

  // TBSCertificate, signatureAlgorithm and signatureValue, as encoded. Live as long as the certificate.
  absl::string_view tbs() const;
  absl::string_view signature_algorithm() const;
  absl::string_view signature() const;

  friend bool operator==(const Certificate& a, const Certificate& b);

 private:
  friend class CertificateReader;
  struct Rep;
  explicit Certificate(std::shared_ptr<const Rep> rep);
  std::shared_ptr<const Rep> rep_;
};

}  // namespace meshca

#endif  // MESHCA_CA_X509_CERTIFICATE_H_
