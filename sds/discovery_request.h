// Reads what an SDS client sends, and bounds it.
#ifndef MESHCA_SDS_DISCOVERY_REQUEST_H_
#define MESHCA_SDS_DISCOVERY_REQUEST_H_

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "sds/discovery_response.h"

namespace meshca::sds {

// One stream, or one request, names at most this many secrets; Envoy names one.
inline constexpr size_t kNamesMax = 256;
// A SPIFFE ID has at most 2048 bytes.
inline constexpr size_t kNameBytesMax = 2048;
// All names of one stream, or of one list of a request; and all names of the requests before the caller is known.
inline constexpr size_t kNamesBytesMax = 64 * 1024;
// Node ids and texts of a NACK that are longer are cut: people read them, programs do not.
inline constexpr size_t kNodeIdBytesMax = 256;
inline constexpr size_t kRejectionBytesMax = 1024;

// What is kept of a request of either protocol. A real proxy's first one holds 61 KB of node metadata beside it.
struct DiscoveryAsk {
  std::string node_id;                   // printable; "" in all but the first request of a stream
  std::string nonce;                     // of the response this answers; "": none
  std::optional<std::string> rejection;  // the text of error_detail, printable: the request is a NACK
  // State of the world: every name subscribed to. Delta: those that come in addition. Unique, in the order given.
  std::vector<std::string> names;
  std::vector<std::string> unsubscribe;  // delta

  size_t NameBytes() const;  // of both lists
};

// Reads a request. InvalidArgument: the bytes are no such message; its type URL is not that of a Secret (reason
// TYPE_URL; a request without one passes); TOO_MANY_NAMES (says how many, and the maximum); NAME_TOO_LONG.
absl::StatusOr<DiscoveryAsk> ReadStateRequest(absl::string_view bytes);
absl::StatusOr<DiscoveryAsk> ReadDeltaRequest(absl::string_view bytes);

// Whether `request` is an ACK of the response with this nonce, and nothing else. A quick answer for the usual case:
// after a change of the bundle ten thousand streams are sent one. `names` is the subscription, which a request of the
// state of the world repeats, in the same order. False does not say that it is no ACK: it may be written in another
// way, or change the subscription too; ReadStateRequest and ReadDeltaRequest tell.
bool IsBareAck(Protocol protocol, absl::string_view request, absl::string_view nonce,
               std::span<const absl::string_view> names);

// InvalidArgument, TOO_MANY_NAMES, when `count` names are more than kNamesMax or their `bytes` more than
// kNamesBytesMax.
absl::Status CheckNames(size_t count, size_t bytes);

}  // namespace meshca::sds

#endif  // MESHCA_SDS_DISCOVERY_REQUEST_H_
