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
// Longer ones are cut: both are for people.
inline constexpr size_t kNodeIdBytesMax = 256;
inline constexpr size_t kRejectionBytesMax = 1024;

// A request of either protocol, without what nobody needs: a real proxy's first one holds 61 KB of node metadata.
struct DiscoveryAsk {
  std::string node_id;                   // printable; "" in all but the first request of a stream
  std::string nonce;                     // of the response this answers; "": none
  std::optional<std::string> rejection;  // error_detail was there: a NACK; printable
  std::vector<std::string> names;        // state of the world: all there are; delta: to subscribe. Unique, in order
  std::vector<std::string> unsubscribe;  // delta

  size_t NameBytes() const;  // of both lists
};

// InvalidArgument: not a DiscoveryRequest, a type URL that is not Secret's (reason TYPE_URL; none at all is taken for
// it), TOO_MANY_NAMES (says how many and the maximum), NAME_TOO_LONG.
absl::StatusOr<DiscoveryAsk> ReadStateRequest(absl::string_view bytes);
absl::StatusOr<DiscoveryAsk> ReadDeltaRequest(absl::string_view bytes);

// Whether `request` is an ACK of the response `nonce` and nothing else: what a stream reads ten thousand times after a
// change of the bundle. `names`: the subscription, which a request of the state of the world repeats; in its order. An
// ACK written in another way, or that changes the subscription, is not one here: Read... tells.
bool IsBareAck(Protocol protocol, absl::string_view request, absl::string_view nonce,
               std::span<const absl::string_view> names);

// InvalidArgument, TOO_MANY_NAMES, when `count` names are more than kNamesMax or their `bytes` more than
// kNamesBytesMax.
absl::Status CheckNames(size_t count, size_t bytes);

}  // namespace meshca::sds

#endif  // MESHCA_SDS_DISCOVERY_REQUEST_H_
