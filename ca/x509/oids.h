// Object identifiers as DER content bytes. For ca/x509 alone.
#ifndef MESHCA_CA_X509_OIDS_H_
#define MESHCA_CA_X509_OIDS_H_

#include "absl/strings/string_view.h"

namespace meshca::oid {

// RFC 5280 §4.2.1: id-ce, 2.5.29.n.
inline constexpr absl::string_view kSubjectKeyIdentifier("\x55\x1d\x0e", 3);
inline constexpr absl::string_view kKeyUsage("\x55\x1d\x0f", 3);
inline constexpr absl::string_view kSubjectAltName("\x55\x1d\x11", 3);
inline constexpr absl::string_view kBasicConstraints("\x55\x1d\x13", 3);
inline constexpr absl::string_view kNameConstraints("\x55\x1d\x1e", 3);
inline constexpr absl::string_view kAuthorityKeyIdentifier("\x55\x1d\x23", 3);
inline constexpr absl::string_view kExtendedKeyUsage("\x55\x1d\x25", 3);
inline constexpr absl::string_view kAnyExtendedKeyUsage("\x55\x1d\x25\x00", 4);

// 1.3.6.1.5.5.7.3.1 and .2
inline constexpr absl::string_view kServerAuth("\x2b\x06\x01\x05\x05\x07\x03\x01", 8);
inline constexpr absl::string_view kClientAuth("\x2b\x06\x01\x05\x05\x07\x03\x02", 8);

// 2.5.4.3, and PKCS#9's extensionRequest 1.2.840.113549.1.9.14
inline constexpr absl::string_view kCommonName("\x55\x04\x03", 3);
inline constexpr absl::string_view kExtensionRequest("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e", 9);

// Signatures (RFC 5758, RFC 4055, RFC 8410).
inline constexpr absl::string_view kEcdsaWithSha1("\x2a\x86\x48\xce\x3d\x04\x01", 7);
inline constexpr absl::string_view kEcdsaWithSha224("\x2a\x86\x48\xce\x3d\x04\x03\x01", 8);
inline constexpr absl::string_view kEcdsaWithSha256("\x2a\x86\x48\xce\x3d\x04\x03\x02", 8);
inline constexpr absl::string_view kEcdsaWithSha384("\x2a\x86\x48\xce\x3d\x04\x03\x03", 8);
inline constexpr absl::string_view kEcdsaWithSha512("\x2a\x86\x48\xce\x3d\x04\x03\x04", 8);
inline constexpr absl::string_view kPkcs1("\x2a\x86\x48\x86\xf7\x0d\x01\x01", 8);  // 1.2.840.113549.1.1, its arc
inline constexpr absl::string_view kEd25519("\x2b\x65\x70", 3);

}  // namespace meshca::oid

#endif  // MESHCA_CA_X509_OIDS_H_
