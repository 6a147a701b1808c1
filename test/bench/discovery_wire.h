// The bytes of SDS as a load needs them: requests put together from ready-made parts, responses read no further than
// their version and nonce.
#ifndef MESHCA_TEST_BENCH_DISCOVERY_WIRE_H_
#define MESHCA_TEST_BENCH_DISCOVERY_WIRE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace meshca::bench {

// Protocols of streams of secrets: the two of SDS, and FetchX509SVID of the SPIFFE Workload API, which has no names, no
// versions and no acknowledgements: each response is the whole state.
enum class Discovery { kStateOfTheWorld, kDelta, kWorkloadX509 };

// What a stream of the Workload API is said to have subscribed to.
inline constexpr char kX509Svid[] = "X509-SVID";

// Points into the response.
struct ResponseHead {
  absl::string_view version;  // version_info, or system_version_info; may be empty in delta
  absl::string_view nonce;
};

// Of SDS. Walks the outermost fields and looks inside none: a load shares its machine with the server it measures.
// InvalidArgument: cut short, or no protobuf.
absl::StatusOr<ResponseHead> ReadHead(absl::string_view response);

// Reads the whole response: protobuf throughout, each resource a Secret with a name and content, head and body
// agreeing. Returns the names of the secrets in it; of the Workload API kX509Svid, each SVID with its key and its
// bundle. InvalidArgument says what is wrong.
absl::StatusOr<std::vector<std::string>> CheckWhole(Discovery discovery, absl::string_view response);

// The requests of one subscription, as gRPC messages with their prefix.
class SubscriptionRequests {
 public:
  SubscriptionRequests(Discovery discovery, const std::vector<std::string>& resources);

  std::string Subscribe(const std::string& node_id) const;
  // The ACK of a response; appended to `out`. Nothing in the Workload API.
  void AppendAck(const ResponseHead& response, std::string& out) const;

 private:
  const Discovery discovery_;
  const std::vector<std::string> resources_;
  std::string ack_part_;  // what every ACK says
};

}  // namespace meshca::bench

#endif  // MESHCA_TEST_BENCH_DISCOVERY_WIRE_H_
