// An API server that answers as a test says, on this library's own HTTP server's other end.
#ifndef MESHCA_TEST_CA_KUBERNETES_FAKE_API_SERVER_H_
#define MESHCA_TEST_CA_KUBERNETES_FAKE_API_SERVER_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "ca/kubernetes/api_server.h"
#include "test/ca/http/scripted_server.h"

namespace meshca::kubernetes {

inline std::string HttpAnswer(int status, const std::string& body, const std::string& more_headers = "") {
  return absl::StrCat("HTTP/1.1 ", status, " X\r\nContent-Length: ", body.size(), "\r\n", more_headers, "\r\n", body);
}

// One piece of an answer that does not end.
inline std::string Chunk(const std::string& bytes) {
  return absl::StrCat(absl::Hex(bytes.size()), "\r\n", bytes, "\r\n");
}
inline const char* const kChunkedHead = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

inline std::unique_ptr<ApiServer> ConnectTo(const http::ScriptedServer& server, const std::string& token = "") {
  ApiServerOptions options;
  options.url = server.url("/prefix/");
  options.described = "a test's configuration";
  if (!token.empty()) options.token.bytes = std::make_shared<const SecretBytes>(SecretBytes::CopyOf(token));
  return ApiServer::Create(std::move(options)).value();
}

}  // namespace meshca::kubernetes

#endif  // MESHCA_TEST_CA_KUBERNETES_FAKE_API_SERVER_H_
