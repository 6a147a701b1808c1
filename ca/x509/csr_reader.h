// The two readers behind Csr::Parse. For ca/x509 alone.
#ifndef MESHCA_CA_X509_CSR_READER_H_
#define MESHCA_CA_X509_CSR_READER_H_

#include <optional>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/x509/csr.h"

namespace meshca {

// Both take the DER of a request and verify its signature. The plain reader knows P-256 requests signed by
// ecdsa-with-SHA256, in strict DER, with common names and extensions; nothing comes back for all else, and OpenSSL
// decides. Whatever the plain reader does decide, OpenSSL's decides alike: a test compares them on mutated requests.
class CsrReader {
 public:
  static std::optional<absl::StatusOr<Csr>> Plain(absl::string_view der);
  static absl::StatusOr<Csr> ByOpenSsl(absl::string_view der);

  // The DER inside `pem_or_der`, with the checks that both readers share.
  static absl::StatusOr<std::string> Unwrap(absl::string_view pem_or_der);

 private:
  static bool ReadPlainInfo(absl::string_view info, absl::string_view& spki, Csr& csr);
  static bool ReadPlainSubject(absl::string_view name, Csr& csr);
  static bool ReadPlainAttributes(absl::string_view attributes, Csr& csr);
  static bool ReadPlainExtensions(absl::string_view extensions, Csr& csr);
  static bool ReadPlainExtension(absl::string_view oid, absl::string_view value, Csr& csr);
  friend class OpenSslCsrNames;
  static std::vector<std::string>& UriNames(Csr& csr) { return csr.uri_names_; }
  static std::vector<std::string>& DnsNames(Csr& csr) { return csr.dns_names_; }
  static std::vector<std::string>& OtherNames(Csr& csr) { return csr.other_names_; }
  static bool& AsksForCa(Csr& csr) { return csr.asks_for_ca_; }
  static std::string& CommonName(Csr& csr) { return csr.common_name_; }
};

}  // namespace meshca

#endif  // MESHCA_CA_X509_CSR_READER_H_
