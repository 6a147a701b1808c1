// subjectAltName, read (RFC 5280 §4.2.1.6). For ca/x509 alone.
#ifndef MESHCA_CA_X509_GENERAL_NAMES_H_
#define MESHCA_CA_X509_GENERAL_NAMES_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace meshca {

// Names by kind, each in its order.
struct GeneralNames {
  std::vector<std::string> uris;
  std::vector<std::string> dns_names;
  std::vector<std::string> ip_addresses;  // textual
  bool others = false;                    // of any other kind
};

// Reads the DER of a GeneralNames. False: badly encoded, empty, a URI or DNS name outside printable ASCII, or an
// address of neither 4 nor 16 bytes.
bool ReadGeneralNames(absl::string_view value, GeneralNames& out);

// 4 or 16 bytes as text; "" for any other number of bytes.
std::string IpAddressText(absl::string_view bytes);
// Textual IPv4 or IPv6 as 4 or 16 bytes; "" when it is neither.
std::string IpAddressBytes(absl::string_view text);

}  // namespace meshca

#endif  // MESHCA_CA_X509_GENERAL_NAMES_H_
