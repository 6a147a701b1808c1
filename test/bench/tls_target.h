// The server under load: where it is, whom to trust there, and who this client is.
#ifndef MESHCA_TEST_BENCH_TLS_TARGET_H_
#define MESHCA_TEST_BENCH_TLS_TARGET_H_

#include <openssl/ssl.h>
#include <sys/socket.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ca/base/openssl_ptr.h"
#include "ca/base/unique_fd.h"

namespace meshca::bench {

using SslPtr = OpenSslPtr<SSL, SSL_free>;

struct TlsTargetOptions {
  std::string address;           // HOST:PORT; HOST a name, an IPv4 address or an IPv6 address in brackets
  std::string root_file;         // PEM; the server's chain must end there
  std::string server_name;       // to ask for (SNI) and to verify; empty: HOST
  std::string certificate_file;  // PEM chain of this client, leaf first, and its key; both or neither
  std::string key_file;
  bool resume_sessions = false;  // else every handshake is a full one
};

// A socket on its way to the server, non-blocking, and the TLS client that will shake hands there.
struct TlsSocket {
  UniqueFd fd;
  SslPtr ssl;
};

// One thread. Outlives the connections it starts.
class TlsTarget {
 public:
  // Reads the files, resolves the name and connects once, to say early when nobody is there. Errors: InvalidArgument
  // (address, files), Unavailable (nobody there).
  static absl::StatusOr<std::unique_ptr<TlsTarget>> Create(TlsTargetOptions options);

  TlsTarget(const TlsTarget&) = delete;
  TlsTarget& operator=(const TlsTarget&) = delete;

  // Starts a connection and returns without waiting. Errors: the system's (no descriptor, no port left), with a reason.
  absl::StatusOr<TlsSocket> StartConnection();

  // The server's chain may end in this root too. Takes a reference.
  void AddRoot(X509* root);

  const std::string& authority() const { return options_.address; }

 private:
  using SessionPtr = OpenSslPtr<SSL_SESSION, SSL_SESSION_free>;

  explicit TlsTarget(TlsTargetOptions options) : options_(std::move(options)) {}
  absl::Status SplitAddress();
  absl::Status PrepareTls();
  absl::Status PrepareVerification();
  absl::Status FindServer();
  static int Verify(X509_STORE_CTX* context, void* self);
  static int TakeSession(SSL* ssl, SSL_SESSION* session);

  const TlsTargetOptions options_;
  std::string host_;
  std::string port_;
  std::string name_;  // what the certificate must be for
  bool name_is_ip_ = false;
  sockaddr_storage server_ = {};
  socklen_t server_size_ = 0;
  OpenSslPtr<SSL_CTX, SSL_CTX_free> context_;
  X509Ptr verified_;  // the server's certificate, once verified
  std::vector<SessionPtr> sessions_;
};

}  // namespace meshca::bench

#endif  // MESHCA_TEST_BENCH_TLS_TARGET_H_
