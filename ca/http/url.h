// A URL that is asked by HTTP.
#ifndef MESHCA_CA_HTTP_URL_H_
#define MESHCA_CA_HTTP_URL_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace meshca::http {

// A value.
struct Url {
  bool https = true;
  std::string host;  // name, IPv4, or IPv6 without its brackets
  int port = 443;
  std::string target;  // path and query; begins with '/'

  // InvalidArgument says what is wrong: another scheme, no host, credentials or a fragment inside, a byte that no URL
  // has.
  static absl::StatusOr<Url> Parse(absl::string_view url);

  // What the header Host says: "issuer.test:8443", without the scheme's own port.
  std::string HostHeader() const;
  // Scheme, host and port: what a connection can be used again for. "https://issuer.test:8443".
  std::string Origin() const;
};

}  // namespace meshca::http

#endif  // MESHCA_CA_HTTP_URL_H_
