// The bytes of SDS as a load needs them: requests put together from ready-made parts, responses read no further than
// their version and nonce.
#ifndef MESHCA_TEST_BENCH_DISCOVERY_WIRE_H_
#define MESHCA_TEST_BENCH_DISCOVERY_WIRE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace meshca::bench {

enum class Discovery { kStateOfTheWorld, kDelta };

// Points into the response.
struct ResponseHead {
  absl::string_view version;  // version_info, or system_version_info; may be empty in delta
  absl::string_view nonce;
};

// Walks the outermost fields and looks inside none: a load shares its machine with the server it measures.
// InvalidArgument: cut short, or no protobuf.
absl::StatusOr<ResponseHead> ReadHead(absl::string_view response);

// Reads the whole response: protobuf throughout, each resource a Secret with a name and content, head and body
// agreeing. Returns the names of the secrets in it. InvalidArgument says what is wrong.
absl::StatusOr<std::vector<std::string>> CheckWhole(Discovery discovery, absl::string_view response);

// The requests of one subscription, as gRPC messages with their prefix.
class SubscriptionRequests {
 public:
  SubscriptionRequests(Discovery discovery, const std::vector<std::string>& resources);

  std::string Subscribe(const std::string& node_id) const;
  // The ACK of a response; appended to `out`.
  void AppendAck(const ResponseHead& response, std::string& out) const;

 private:
  const Discovery discovery_;
  const std::vector<std::string> resources_;
  std::string ack_part_;  // what every ACK says
};

}  // namespace meshca::bench

#endif  // MESHCA_TEST_BENCH_DISCOVERY_WIRE_H_
