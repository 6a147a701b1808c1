// What a TLS listener shows and asks: server certificate, minimum version, client certificates. Swapped in place.
#ifndef MESHCA_CA_RPC_TLS_CONTEXT_H_
#define MESHCA_CA_RPC_TLS_CONTEXT_H_

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/base/openssl_ptr.h"

namespace meshca::rpc {

// Decides whether a client's certificate is good. Thread-safe: handshakes run on several loops at once.
class ClientVerifier {
 public:
  virtual ~ClientVerifier() = default;

  // `chain_der`: what the client sent, leaf first, at least one. Called once per full handshake and again each time a
  // client wants to resume a session, so validity, revocation and taint are judged anew. The handshake has proven that
  // the client holds the leaf's key. Runs on a loop: compute only, no I/O, no waiting.
  // Returns what becomes Peer::identity. An error fails the handshake with a TLS alert chosen by the status's reason:
  // CERTIFICATE_EXPIRED, CERTIFICATE_REVOKED, UNKNOWN_AUTHORITY, else bad_certificate.
  virtual absl::StatusOr<std::shared_ptr<const void>> Verify(std::span<const std::string> chain_der,
                                                             absl::Time now) = 0;

  // What the client is counted by, where `identity` is what Verify returned: all certificates of one client should have
  // one name, so that more of them do not make it more callers. "": by its leaf.
  virtual std::string CountedAs(const void* identity) const { return std::string(); }
};

enum class TlsVersion { kTls12, kTls13 };
enum class ClientCertificates {
  kNone,      // not asked for
  kOptional,  // asked for; absent is fine, a bad one fails the handshake
  kRequired,
};

// One state of a TlsContext.
struct TlsOptions {
  // Leaf first, then what leads to the root; the root may be the last. Empty, with no key: there is no certificate yet,
  // and every handshake fails until Swap brings one.
  std::vector<std::string> certificate_chain_der;
  // The leaf's key. Shared: OpenSSL counts references.
  EvpPkeyPtr private_key;
  TlsVersion minimum_version = TlsVersion::kTls12;
  ClientCertificates client_certificates = ClientCertificates::kNone;
  // Set exactly when client certificates are asked for.
  std::shared_ptr<ClientVerifier> verifier;
};

// Splits PEM text into the DER of its CERTIFICATE blocks, in order. Errors: InvalidArgument (none, or a broken block).
absl::StatusOr<std::vector<std::string>> CertificatesFromPem(absl::string_view pem);

// Thread-safe. Shared by a listener's handshakes. ALPN "h2" is required of every client. There are no session tickets;
// sessions are kept on the server, at most `sessions_max`, for an hour.
class TlsContext {
 public:
  static constexpr size_t kSessionsMax = 2048;

  // Errors: InvalidArgument (a certificate that does not parse, a key that does not fit the leaf, a verifier without
  // client certificates or the other way round), Internal (OpenSSL).
  static absl::StatusOr<std::shared_ptr<TlsContext>> Create(TlsOptions options, size_t sessions_max = kSessionsMax);

  virtual ~TlsContext() = default;

  // Replaces everything at once for handshakes that begin from now on; established connections and handshakes in
  // progress keep what they started with. On an error nothing changes. Errors: as Create.
  virtual absl::Status Swap(TlsOptions options) = 0;

  // Forgets all resumable sessions.
  virtual void DropSessions() = 0;

 private:
  TlsContext() = default;
  friend class SwappableTlsContext;  // the only implementation
};

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_TLS_CONTEXT_H_
