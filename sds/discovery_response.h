// Serialises DiscoveryResponse and DeltaDiscoveryResponse by hand, into one allocation that is wiped when it is freed.
// A protobuf message in between would leave copies of private keys in memory.
#ifndef MESHCA_SDS_DISCOVERY_RESPONSE_H_
#define MESHCA_SDS_DISCOVERY_RESPONSE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "absl/strings/string_view.h"
#include "ca/rpc/payload.h"

namespace meshca::sds {

class SecretSnapshot;

inline constexpr absl::string_view kSecretTypeUrl =
    "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

enum class Protocol { kStateOfTheWorld = 0, kDelta = 1 };

// A response with its gRPC frame prefix. The response's nonce field is `nonce` as decimal text.
struct NumberedResponse {
  uint64_t nonce = 0;
  rpc::Payload payload;
};

// Serialises a response that holds `resources`. Its nonce is greater than every nonce made before in this process. Its
// version_info derives from the resources, so equal versions mean equal resources. `removed` (names) is for kDelta
// alone, where each resource also carries its own version. Thread-safe.
NumberedResponse MakeResponse(Protocol protocol, std::span<const SecretSnapshot* const> resources,
                              std::span<const std::string> removed = {});

// A response whose nonce is greater than `nonce`, the last one of the stream. For a single resource it is the response
// that all streams share (SecretSnapshot::Alone), unless that one's nonce is not greater. Thread-safe.
NumberedResponse MakeResponseAfter(uint64_t nonce, Protocol protocol, std::span<const SecretSnapshot* const> resources,
                                   std::span<const std::string> removed = {});

// How many responses this process has serialised. Tests and SdsStats read it.
uint64_t ResponsesSerialised();

namespace wire {
// A length-delimited protobuf field with a number from 1 to 15: its size with tag and length; its tag and length only;
// all of it.
size_t FieldSize(size_t value_bytes);
void AppendHead(int number, size_t value_bytes, std::string& out);
void AppendField(int number, absl::string_view value, std::string& out);

// Room for a message of exactly `message_bytes`, with its gRPC frame prefix in front. Growing it further would leave a
// copy of a key behind.
std::unique_ptr<std::string> Reserve(size_t message_bytes);
// What Reserve gave, filled to its last byte (a CHECK), as a payload whose bytes are wiped when its last holder lets
// go.
rpc::Payload WipedPayload(std::unique_ptr<std::string> filled);
}  // namespace wire

}  // namespace meshca::sds

#endif  // MESHCA_SDS_DISCOVERY_RESPONSE_H_
