// Fetches one small document over HTTPS.
#ifndef MESHCA_CA_AUTHN_HTTP_GET_H_
#define MESHCA_CA_AUTHN_HTTP_GET_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/http/http_client.h"

namespace meshca {

struct HttpGetOptions {
  absl::Duration timeout = absl::Seconds(10);  // for the whole of it
  size_t bytes_max = 256 * 1024;
};

// The body of a 200 answer to a request for a key set or another JSON document, whatever the answer's content type.
// Blocks. By which roots the server's certificate is judged is the client's to know. No redirect is followed: it could
// lead out of https or to another host. Unavailable: name, connection, TLS, time, size, or another status; names the
// URL and what happened.
absl::StatusOr<std::string> HttpGet(http::Client& client, const std::string& url, const HttpGetOptions& options);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHN_HTTP_GET_H_
