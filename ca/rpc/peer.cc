#include "ca/rpc/peer.h"

namespace meshca::rpc {

absl::string_view TransportName(Transport transport) {
  switch (transport) {
    case Transport::kUnix: return "unix";
    case Transport::kTls: return "tls";
    case Transport::kPlaintext: return "plaintext";
  }
  return "plaintext";
}

}  // namespace meshca::rpc
