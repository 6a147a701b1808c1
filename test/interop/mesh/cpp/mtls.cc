#include "test/interop/mesh/cpp/mtls.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdio>
#include <stdexcept>
#include <utility>

namespace {

constexpr int kTimeoutSeconds = 30;
constexpr size_t kLineBytesMax = 16384;

struct Free {
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(GENERAL_NAMES* names) const { GENERAL_NAMES_free(names); }
};
using X509Ptr = std::unique_ptr<X509, Free>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Free>;
using NamesPtr = std::unique_ptr<GENERAL_NAMES, Free>;

// What OpenSSL has to say about the call that just failed, and nothing of an older one.
[[noreturn]] void ThrowOpenSsl(const std::string& what) {
  char text[256] = "";
  const unsigned long code = ERR_peek_last_error();
  if (code != 0) ERR_error_string_n(code, text, sizeof(text));
  ERR_clear_error();
  throw std::runtime_error(what + (code != 0 ? ": " + std::string(text) : ": the connection ended"));
}

std::string Hex(const unsigned char* data, size_t size) {
  std::string hex;
  for (size_t i = 0; i < size; ++i) {
    char byte[3];
    std::snprintf(byte, sizeof(byte), "%02x", data[i]);
    hex += byte;
  }
  return hex;
}

std::vector<X509Ptr> ReadCertificates(const std::string& der) {
  std::vector<X509Ptr> certificates;
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  const auto* end = at + der.size();
  while (at < end) {
    certificates.emplace_back(d2i_X509(nullptr, &at, end - at));
    if (certificates.back() == nullptr) ThrowOpenSsl("a certificate of the Workload API");
  }
  if (certificates.empty()) throw std::runtime_error("the Workload API gave no certificate");
  return certificates;
}

KeyPtr ReadKey(const std::string& der) {
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  KeyPtr key(d2i_AutoPrivateKey(nullptr, &at, static_cast<long>(der.size())));
  if (key == nullptr) ThrowOpenSsl("the private key of the Workload API");
  return key;
}

std::string Fingerprint(const X509* certificate) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (X509_digest(certificate, EVP_sha256(), digest, &size) != 1) ThrowOpenSsl("SHA-256");
  return Hex(digest, size);
}

// X509-SVID section 2: exactly one URI among the subject's alternative names, and that is the SPIFFE ID.
std::string SpiffeIdOf(const X509* leaf) {
  const NamesPtr names(static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(leaf, NID_subject_alt_name, nullptr, nullptr)));
  std::string id;
  int uris = 0;
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_URI) continue;
    const ASN1_STRING* uri = name->d.uniformResourceIdentifier;
    id.assign(reinterpret_cast<const char*>(ASN1_STRING_get0_data(uri)), ASN1_STRING_length(uri));
    ++uris;
  }
  if (uris != 1 || id.rfind("spiffe://", 0) != 0) throw std::runtime_error("the peer's certificate has no SPIFFE ID");
  return id;
}

}  // namespace

MtlsContext::MtlsContext(const std::string& chain_der, const std::string& key_der, const std::string& roots_der)
    : context_(SSL_CTX_new(TLS_method()), &SSL_CTX_free) {
  SSL_CTX* context = context_.get();
  if (context == nullptr) ThrowOpenSsl("SSL_CTX_new");
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  // A resumed connection would be let in by a certificate of the past.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
  SSL_CTX_set_num_tickets(context, 0);

  const std::vector<X509Ptr> chain = ReadCertificates(chain_der);
  if (SSL_CTX_use_certificate(context, chain[0].get()) != 1) ThrowOpenSsl("the leaf certificate");
  for (size_t i = 1; i < chain.size(); ++i) {
    if (SSL_CTX_add1_chain_cert(context, chain[i].get()) != 1) ThrowOpenSsl("the certificate chain");
  }
  if (SSL_CTX_use_PrivateKey(context, ReadKey(key_der).get()) != 1) ThrowOpenSsl("the private key");
  const ASN1_INTEGER* serial = X509_get0_serialNumber(chain[0].get());
  serial_ = Hex(ASN1_STRING_get0_data(serial), ASN1_STRING_length(serial));

  X509_STORE* trusted = SSL_CTX_get_cert_store(context);
  for (const X509Ptr& root : ReadCertificates(roots_der)) {
    if (X509_STORE_add_cert(trusted, root.get()) != 1) ThrowOpenSsl("a root");
    roots_.push_back(Fingerprint(root.get()));
  }
  // What a SPIFFE bundle holds is trusted as it is, even where it is not self-signed.
  X509_STORE_set_flags(trusted, X509_V_FLAG_PARTIAL_CHAIN);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
}

MtlsConnection::Socket::Socket(int fd) : fd_(fd) {
  const timeval limit{kTimeoutSeconds, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
}

MtlsConnection::Socket::~Socket() {
  if (fd_ >= 0) close(fd_);
}

MtlsConnection::MtlsConnection(Socket socket, const MtlsContext& context)
    : socket_(std::move(socket)), ssl_(SSL_new(context.get()), &SSL_free) {
  if (ssl_ == nullptr || SSL_set_fd(ssl_.get(), socket_.fd()) != 1) ThrowOpenSsl("SSL_new");
}

// The chain was verified by the handshake; this says whose it has to be.
void MtlsConnection::AuthorizePeer(const std::set<std::string>& let_in) {
  peer_id_ = SpiffeIdOf(SSL_get0_peer_certificate(ssl_.get()));
  if (let_in.count(peer_id_) == 0) throw std::runtime_error("the peer is " + peer_id_ + ", who is not expected here");
}

MtlsConnection MtlsConnection::Accept(int fd, const MtlsContext& context, const std::set<std::string>& let_in) {
  MtlsConnection connection(Socket(fd), context);
  if (SSL_accept(connection.ssl_.get()) != 1) ThrowOpenSsl("the client's handshake");
  connection.AuthorizePeer(let_in);
  return connection;
}

MtlsConnection MtlsConnection::Connect(const std::string& address, const MtlsContext& context,
                                       const std::string& spiffe_id) {
  const size_t colon = address.rfind(':');
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(colon + 1))));
  if (inet_pton(AF_INET, address.substr(0, colon).c_str(), &to.sin_addr) != 1) {
    throw std::runtime_error("not an IPv4 address: " + address);
  }
  Socket socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (connect(socket.fd(), reinterpret_cast<const sockaddr*>(&to), sizeof(to)) != 0) {
    throw std::runtime_error("cannot connect to " + address);
  }
  MtlsConnection connection(std::move(socket), context);
  if (SSL_connect(connection.ssl_.get()) != 1) ThrowOpenSsl("the server's handshake");
  connection.AuthorizePeer({spiffe_id});
  return connection;
}

void MtlsConnection::WriteLine(const std::string& line) {
  const std::string bytes = line + "\n";
  if (SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size())) <= 0) ThrowOpenSsl("writing");
}

std::string MtlsConnection::ReadLine() {
  std::string line;
  while (line.empty() || line.back() != '\n') {
    char bytes[4096];
    const int count = SSL_read(ssl_.get(), bytes, sizeof(bytes));
    if (count <= 0) ThrowOpenSsl("reading");
    line.append(bytes, count);
    if (line.size() > kLineBytesMax) throw std::runtime_error("the peer's line is too long");
  }
  line.pop_back();
  return line;
}

void MtlsConnection::Close() { SSL_shutdown(ssl_.get()); }
