#include "ca/rpc/client_mistakes.h"

#include <algorithm>
#include <string>

#include "absl/hash/hash.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ca/base/check.h"
#include "ca/base/log.h"

namespace meshca::rpc {
namespace {

struct Words {
  absl::string_view what;
  absl::string_view advice;
};

Words WordsFor(ClientMistake mistake) {
  switch (mistake) {
    case ClientMistake::kNoAlpn:
      return {"a TLS client was refused: it names no application protocol (ALPN)",
              "have the client offer ALPN \"h2\", as gRPC clients do by themselves (openssl s_client: -alpn h2)"};
    case ClientMistake::kOtherAlpn:
      return {"a TLS client was refused: \"h2\" is not among the application protocols (ALPN) that it offers",
              "this port serves gRPC over HTTP/2: send clients of HTTP/1.1 elsewhere"};
    case ClientMistake::kHttpOnTls:
      return {"a client was refused: it sent an HTTP request without TLS",
              "this port serves gRPC over TLS: check address and port of the client"};
    case ClientMistake::kNoTls:
      return {"a client was refused: what it sent is no TLS",
              "this port serves gRPC over TLS: give a gRPC client TLS credentials instead of insecure ones"};
    case ClientMistake::kOldTls:
      return {"a TLS client was refused: it has no TLS version or cipher in common with this server",
              "use a client with TLS 1.3, or TLS 1.2 with ECDHE and AES-GCM or ChaCha20 where the server allows 1.2"};
    case ClientMistake::kDistrustsServer:
      return {"a TLS client hung up: it does not believe the server's certificate",
              "give the client the roots that this server's certificate chains to"};
    case ClientMistake::kNoClientCertificate:
      return {"a TLS client was refused: it shows no certificate",
              "give the client a certificate: this port needs one"};
    case ClientMistake::kBadClientCertificate:
      return {"a TLS client was refused: its certificate is not accepted", "renew the client's certificate"};
    case ClientMistake::kTlsWithoutListenerTls:
      return {"a client was refused: it speaks TLS where there is none",
              "connect without TLS here, or to the port that has it"};
    case ClientMistake::kHttp1:
      return {"a client was refused: it sent an HTTP/1 request",
              "gRPC over HTTP/2 is served here: check address and port of the client"};
    case ClientMistake::kNotHttp2:
      return {"a client was refused: what it sent is no HTTP/2",
              "gRPC over HTTP/2 is served here: check address and port of the client"};
    case ClientMistake::kCount: break;
  }
  MESHCA_CHECK(false);
}

// Without the port, or the process, that differs from connection to connection.
absl::string_view HostOf(absl::string_view peer) { return peer.substr(0, peer.find_last_of(",:")); }

bool IsHttp1(absl::string_view bytes) {
  constexpr absl::string_view kMethods[] = {"GET ",     "HEAD ",  "POST ",    "PUT ",  "DELETE ",
                                            "OPTIONS ", "PATCH ", "CONNECT ", "TRACE "};
  return std::any_of(std::begin(kMethods), std::end(kMethods),
                     [bytes](absl::string_view method) { return absl::StartsWith(bytes, method); });
}

}  // namespace

ClientMistake MistakeOfPreface(absl::string_view bytes, bool tls) {
  // A TLS record of a handshake, of any version: RFC 8446 §5.1.
  if (!tls && absl::StartsWith(bytes, "\x16\x03")) return ClientMistake::kTlsWithoutListenerTls;
  return IsHttp1(bytes) ? ClientMistake::kHttp1 : ClientMistake::kNotHttp2;
}

std::optional<uint64_t> ClientMistakeLog::Due(ClientMistake mistake, absl::string_view peer, int64_t now_ns) {
  const size_t slot = absl::Hash<absl::string_view>()(HostOf(peer)) % kSlots;
  return told_[static_cast<size_t>(mistake)][slot].Due(now_ns);
}

void ClientMistakeLog::Tell(ClientMistake mistake, absl::string_view peer, absl::string_view error, int64_t now_ns) {
  const std::optional<uint64_t> others = Due(mistake, peer, now_ns);
  if (!others) return;
  const Words words = WordsFor(mistake);
  const std::string passed_over = absl::StrCat(*others);
  if (error.empty()) {
    LogInfo(words.what,
            {{"peer", std::string(peer)}, {"others_since_last_line", passed_over}, {"do", std::string(words.advice)}});
  } else {
    LogInfo(words.what, {{"peer", std::string(peer)},
                         {"error", std::string(error)},
                         {"others_since_last_line", passed_over},
                         {"do", std::string(words.advice)}});
  }
}

}  // namespace meshca::rpc
