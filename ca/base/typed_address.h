// HOST:PORT as people type it, who often paste a URL.
#ifndef MESHCA_CA_BASE_TYPED_ADDRESS_H_
#define MESHCA_CA_BASE_TYPED_ADDRESS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace meshca {

// "https://ca.example:15012" and "https://ca.example:15012/" -> "ca.example:15012", where `scheme` is "https"; what has
// no scheme comes back as it is, and is not checked. InvalidArgument says what is wrong: another scheme, as http://
// where TLS is spoken, or a path behind the port, where there is nothing that a path could name.
absl::StatusOr<std::string> WithoutScheme(absl::string_view typed, absl::string_view scheme);

// Is `host` an IPv4 or IPv6 address, without brackets or a zone? It is no DNS name then.
bool IsIpAddress(const std::string& host);

}  // namespace meshca

#endif  // MESHCA_CA_BASE_TYPED_ADDRESS_H_
