// How the load reaches a server: a Unix socket, plain TCP, or TLS with or without a client certificate.
#ifndef MESHCA_TEST_BENCH_DIAL_H_
#define MESHCA_TEST_BENCH_DIAL_H_

#include <openssl/ssl.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "ca/base/openssl_ptr.h"
#include "ca/base/unique_fd.h"

namespace meshca::bench {

struct DialOptions {
  std::string address;           // unix:PATH, or HOST:PORT
  std::string root_file;         // PEM; the server's chain must end there. Empty: no TLS
  std::string certificate_file;  // PEM chain, leaf first, and its key; both or neither
  std::string key_file;
};

// A connected socket in non-blocking mode, its TLS handshake finished; `ssl` is null without TLS.
struct Dialled {
  UniqueFd socket;
  OpenSslPtr<SSL, SSL_free> ssl;
};

// Makes connections to one address, one at a time, each a full handshake: a session is never resumed. One thread.
class Dialler {
 public:
  // Errors: InvalidArgument (the address, the combination of files), Internal (a file OpenSSL does not take).
  static absl::StatusOr<Dialler> Create(DialOptions options);

  // Blocks until connected. Errors: Unavailable and the like, with the system's or OpenSSL's words.
  absl::StatusOr<Dialled> Dial() const;

  bool tls() const { return context_ != nullptr; }
  bool unix_socket() const;
  // What :authority is to say.
  const std::string& authority() const { return authority_; }

 private:
  explicit Dialler(DialOptions options) : options_(std::move(options)) {}
  absl::Status Prepare();
  absl::Status PrepareTls();
  absl::StatusOr<UniqueFd> Connect() const;
  absl::StatusOr<UniqueFd> ConnectUnix() const;
  absl::StatusOr<UniqueFd> ConnectTcp() const;

  DialOptions options_;
  std::string host_;
  std::string port_;
  std::string authority_;
  OpenSslPtr<SSL_CTX, SSL_CTX_free> context_;
};

// Lets this process hold `descriptors` open files, raising its limits as far as it may.
// FailedPrecondition: the hard limit is lower; says both numbers and what to do.
absl::Status AllowDescriptors(size_t descriptors);

}  // namespace meshca::bench

#endif  // MESHCA_TEST_BENCH_DIAL_H_
