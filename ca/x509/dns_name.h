// DNS names in certificates.
#ifndef MESHCA_CA_X509_DNS_NAME_H_
#define MESHCA_CA_X509_DNS_NAME_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace meshca {

// Is `name` a DNS name of letters, digits, hyphens and dots that a certificate may carry? A first label `*` is
// allowed. InvalidArgument (DNS_NAME_INVALID) otherwise.
absl::Status CheckDnsName(absl::string_view name);

}  // namespace meshca

#endif  // MESHCA_CA_X509_DNS_NAME_H_
