// Writes DiscoveryResponse and DeltaDiscoveryResponse straight into wire bytes, in one allocation that is wiped: a
// protobuf message on the way would leave copies of private keys behind.
#ifndef MESHCA_SDS_DISCOVERY_RESPONSE_H_
#define MESHCA_SDS_DISCOVERY_RESPONSE_H_

#include <cstdint>
#include <span>
#include <string>

#include "absl/strings/string_view.h"
#include "ca/rpc/payload.h"

namespace meshca::sds {

class SecretSnapshot;

inline constexpr absl::string_view kSecretTypeUrl =
    "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

enum class Protocol { kStateOfTheWorld = 0, kDelta = 1 };

// A framed response and the nonce in it, which is the decimal text of `nonce`.
struct NumberedResponse {
  uint64_t nonce = 0;
  rpc::Payload payload;
};

// Serialises a response that holds `resources`. Its nonce is greater than every one made before in this process; its
// version_info derives from the resources, so equal versions mean equal bytes. `removed` is for kDelta alone. A delta
// resource carries its own version besides. Thread-safe.
NumberedResponse MakeResponse(Protocol protocol, std::span<const SecretSnapshot* const> resources,
                              std::span<const std::string> removed = {});

// A response whose nonce is greater than `nonce`: where it holds one resource alone, the one that all streams share
// (SecretSnapshot::Alone), unless the stream is past that already.
NumberedResponse MakeResponseAfter(uint64_t nonce, Protocol protocol, std::span<const SecretSnapshot* const> resources,
                                   std::span<const std::string> removed = {});

// Responses serialised since start: what tests count.
uint64_t ResponsesSerialised();

namespace wire {
// One length-delimited protobuf field with a number below 16.
size_t FieldSize(size_t value_bytes);
void AppendHead(int number, size_t value_bytes, std::string& out);
void AppendField(int number, absl::string_view value, std::string& out);
}  // namespace wire

}  // namespace meshca::sds

#endif  // MESHCA_SDS_DISCOVERY_RESPONSE_H_
