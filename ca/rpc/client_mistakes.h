// Says in the log which clients get nowhere because they speak something else than the port does, and what would help.
#ifndef MESHCA_CA_RPC_CLIENT_MISTAKES_H_
#define MESHCA_CA_RPC_CLIENT_MISTAKES_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"
#include "ca/rpc/once_a_minute.h"

namespace meshca::rpc {

// Whoever makes one is cut before its first call.
enum class ClientMistake : uint8_t {
  kNoAlpn,                 // TLS without ALPN: openssl s_client, scanners
  kOtherAlpn,              // ALPN without "h2"
  kHttpOnTls,              // an HTTP/1 request in plaintext on a port with TLS
  kNoTls,                  // anything else that is no TLS there
  kOldTls,                 // no version or cipher in common
  kDistrustsServer,        // the client refused the server's certificate
  kNoClientCertificate,    // the listener requires one
  kBadClientCertificate,   // the verifier refused it
  kTlsWithoutListenerTls,  // TLS on a port or socket without
  kHttp1,                  // an HTTP/1 request where HTTP/2 is spoken
  kNotHttp2,               // anything else instead of HTTP/2's preface
  kCount,
};

// What a client meant that began with `bytes` instead of HTTP/2's preface. `tls`: they came through TLS.
ClientMistake MistakeOfPreface(absl::string_view bytes, bool tls);

// A line for the first who makes a mistake, and the others of the minute as a number, so that a flood fills no disk.
// Hosts are spread over a few slots by their address, so that one that keeps trying does not hide all others. Any
// thread, no lock.
class ClientMistakeLog {
 public:
  static constexpr int64_t kEveryNs = OnceAMinute::kEveryNs;
  // At most as many lines a minute for one mistake.
  static constexpr size_t kSlots = 8;

  // `peer` is Peer::address; `error` says more and may be "".
  void Tell(ClientMistake mistake, absl::string_view peer, absl::string_view error, int64_t now_ns);
  // Whether a line is due; then how many were passed over since the last one of its slot.
  std::optional<uint64_t> Due(ClientMistake mistake, absl::string_view peer, int64_t now_ns);

 private:
  std::array<std::array<OnceAMinute, kSlots>, static_cast<size_t>(ClientMistake::kCount)> told_;
};

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_CLIENT_MISTAKES_H_
