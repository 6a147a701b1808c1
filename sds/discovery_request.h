// Parses SDS requests and enforces the limits on their names and texts.
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
// Limits three sums of bytes: the names of one stream, those of one list of a request, and those of all requests that
// wait until the caller is authenticated.
inline constexpr size_t kNamesBytesMax = 64 * 1024;
// Longer node ids and NACK texts are cut to this: people read them, programs do not.
inline constexpr size_t kNodeIdBytesMax = 256;
inline constexpr size_t kRejectionBytesMax = 1024;

// What is kept of a request of either protocol. The first request of a real proxy holds 61 KB of node metadata besides.
struct DiscoveryAsk {
  std::string node_id;                   // printable; "" in all but the first request of a stream
  std::string nonce;                     // of the response this answers; "": none
  std::optional<std::string> rejection;  // the text of error_detail, printable: the request is a NACK
  // State of the world: every name subscribed to. Delta: the names to add. No duplicates, in the order given.
  std::vector<std::string> names;
  std::vector<std::string> unsubscribe;  // delta only: the names to remove

  size_t NameBytes() const;  // the sum over both lists
};

// Reads a DiscoveryRequest or a DeltaDiscoveryRequest. InvalidArgument: the bytes are not such a message, or with a
// reason: TYPE_URL (not that of a Secret; a request without a type URL passes), TOO_MANY_NAMES (the message says how
// many, and the maximum), NAME_TOO_LONG.
absl::StatusOr<DiscoveryAsk> ReadStateRequest(absl::string_view bytes);
absl::StatusOr<DiscoveryAsk> ReadDeltaRequest(absl::string_view bytes);

// Whether `request` is an ACK of the response with this nonce, and nothing else. A fast path, without a protobuf
// message: after a change of the bundle ten thousand streams send such an ACK. `names` is the present subscription,
// which a state-of-the-world ACK repeats in the same order. False means "perhaps not": the ACK may be encoded in
// another way, or change the subscription too. ReadStateRequest and ReadDeltaRequest decide then.
bool IsBareAck(Protocol protocol, absl::string_view request, absl::string_view nonce,
               std::span<const absl::string_view> names);

// InvalidArgument (reason TOO_MANY_NAMES) when `count` is above kNamesMax or `bytes`, the sum of the names' lengths,
// above kNamesBytesMax.
absl::Status CheckNames(size_t count, size_t bytes);

}  // namespace meshca::sds

#endif  // MESHCA_SDS_DISCOVERY_REQUEST_H_
