// The head of an HTTP/1 request (RFC 9112 §2-3), as far as a read-only endpoint needs it.
#ifndef MESHCA_CLI_SERVER_HTTP_REQUEST_H_
#define MESHCA_CLI_SERVER_HTTP_REQUEST_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace meshca::cli {

struct HttpRequest {
  enum class State {
    kIncomplete,  // read on
    kComplete,
    kRefused,  // answer `refusal` and close
  };
  State state = State::kIncomplete;
  int refusal = 0;       // 400, 405, 431, 505
  bool is_head = false;  // HEAD: the answer has no body
  std::string path;      // begins with '/'; without the query
};

// Reads what has arrived so far. GET and HEAD, in origin form (`/metrics?x=1`) or absolute form. Header fields are
// skipped, whatever they say: nothing here depends on them, and each answer ends the connection, so neither a body nor
// a second request can be smuggled past. More than `head_bytes_max` bytes without an end: 431. Pure.
HttpRequest ReadRequest(absl::string_view bytes, size_t head_bytes_max);

}  // namespace meshca::cli

#endif  // MESHCA_CLI_SERVER_HTTP_REQUEST_H_
