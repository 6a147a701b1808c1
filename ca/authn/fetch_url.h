// Which URLs keys may be fetched from.
#ifndef MESHCA_CA_AUTHN_FETCH_URL_H_
#define MESHCA_CA_AUTHN_FETCH_URL_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/http/url.h"

namespace meshca {

// https, or http on this machine's loopback: whoever can change an answer on the way can mint every identity that the
// issuer's tokens give. InvalidArgument: no URL (http::Url::Parse), or http to another machine.
absl::StatusOr<http::Url> ParseFetchUrl(absl::string_view url);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHN_FETCH_URL_H_
