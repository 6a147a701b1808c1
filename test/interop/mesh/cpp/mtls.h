// mTLS between SPIFFE identities: OpenSSL, and nothing else.
#ifndef MESHCA_TEST_INTEROP_MESH_CPP_MTLS_H_
#define MESHCA_TEST_INTEROP_MESH_CPP_MTLS_H_

#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

// What connections are made with: one key, its chain and the roots. Never changes: a renewed key makes another one, and
// connections that began with the old one end with it. Any number of threads may use it.
class MtlsContext {
 public:
  // From DER as the Workload API gives it. Throws std::runtime_error where that cannot be read or does not belong
  // together.
  MtlsContext(const std::string& chain_der, const std::string& key_der, const std::string& roots_der);

  SSL_CTX* get() const { return context_.get(); }
  const std::string& serial() const { return serial_; }             // of the leaf, hexadecimal
  const std::vector<std::string>& roots() const { return roots_; }  // SHA-256 of each, hexadecimal

 private:
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_;
  std::string serial_;
  std::vector<std::string> roots_;
};

// A TLS connection whose peer is known. Each function throws std::runtime_error.
class MtlsConnection {
 public:
  // The server's side of the socket `fd`, which it owns: succeeds only if the peer has one of the SPIFFE IDs.
  static MtlsConnection Accept(int fd, const MtlsContext& context, const std::set<std::string>& let_in);
  // A new connection to "127.0.0.1:40123", if the server there has the SPIFFE ID.
  static MtlsConnection Connect(const std::string& address, const MtlsContext& context, const std::string& spiffe_id);

  const std::string& peer_id() const { return peer_id_; }
  void WriteLine(const std::string& line);
  std::string ReadLine();
  // Says goodbye, so that the peer can tell the end from a cut.
  void Close();

 private:
  class Socket {
   public:
    explicit Socket(int fd);  // reads and writes give up after half a minute
    ~Socket();
    Socket(Socket&& from) noexcept : fd_(from.fd_) { from.fd_ = -1; }
    Socket& operator=(Socket&&) = delete;
    int fd() const { return fd_; }

   private:
    int fd_;
  };

  MtlsConnection(Socket socket, const MtlsContext& context);
  void AuthorizePeer(const std::set<std::string>& let_in);

  Socket socket_;  // outlives ssl_
  std::unique_ptr<SSL, decltype(&SSL_free)> ssl_;
  std::string peer_id_;
};

#endif  // MESHCA_TEST_INTEROP_MESH_CPP_MTLS_H_
