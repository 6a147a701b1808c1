// A URL that keys may be fetched from.
#ifndef MESHCA_CA_AUTHN_FETCH_URL_H_
#define MESHCA_CA_AUTHN_FETCH_URL_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace meshca {

// https, or http on this machine's loopback: whoever can change an answer on the way can mint every identity that the
// issuer's tokens give. A value.
struct FetchUrl {
  bool https = true;
  std::string host;  // name, IPv4, or IPv6 without its brackets
  int port = 443;
  std::string target;  // path and query; begins with '/'

  // InvalidArgument says what is wrong: another scheme, no host, credentials or a fragment inside, a byte that no URL
  // has, http to another machine.
  static absl::StatusOr<FetchUrl> Parse(absl::string_view url);
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHN_FETCH_URL_H_
