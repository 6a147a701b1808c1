// Limits that no thread reaches by being off its processor: for tests of something else than limits.
#ifndef MESHCA_TEST_CA_HTTP_PATIENCE_H_
#define MESHCA_TEST_CA_HTTP_PATIENCE_H_

#include "absl/time/time.h"
#include "ca/http/http_client.h"
#include "ca/http/http_server.h"

namespace meshca::http {

// Of a test that waits for something that must come at all.
constexpr absl::Duration kPatience = absl::Minutes(1);

inline CallOptions PatientCall() {
  CallOptions options;
  options.timeout = 2 * kPatience;
  return options;
}

inline ServerOptions PatientServer() {
  ServerOptions options;
  options.request_timeout = options.answer_timeout = options.idle_timeout = absl::Hours(1);
  return options;
}

}  // namespace meshca::http

#endif  // MESHCA_TEST_CA_HTTP_PATIENCE_H_
