// The same TBSCertificate by OpenSSL's X509 builder: what LeafTemplate is held against in tests, several times slower.
#ifndef MESHCA_CA_X509_LEAF_BUILDER_H_
#define MESHCA_CA_X509_LEAF_BUILDER_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/x509/leaf_template.h"

namespace meshca {

// The DER TBSCertificate of `fields` under `issuer`. Internal: OpenSSL.
absl::StatusOr<std::string> BuildLeafTbsByOpenSsl(const Certificate& issuer, absl::string_view signature_algorithm,
                                                  const LeafFields& fields);

}  // namespace meshca

#endif  // MESHCA_CA_X509_LEAF_BUILDER_H_
