// One gRPC message as it goes over the wire, made once and shared by every stream that sends it.
#ifndef MESHCA_CA_RPC_PAYLOAD_H_
#define MESHCA_CA_RPC_PAYLOAD_H_

#include <cstddef>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"

namespace meshca::rpc {

// A Length-Prefixed-Message (gRPC over HTTP/2, "Requests"): one byte of flags (0: not compressed), four bytes of
// length, big-endian, then the message. Immutable, so any number of streams on any loops hold the same bytes; null is
// never a Payload. Holders on other threads only read.
using Payload = std::shared_ptr<const std::string>;

inline constexpr size_t kFramePrefixBytes = 5;

// `message` behind its prefix: one copy. For protobuf messages see protobuf_payload.h. CHECKs that `message` is below
// 4 GiB.
Payload Frame(absl::string_view message);

// The message inside `payload`; valid as long as it.
absl::string_view MessageOf(const Payload& payload);

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_PAYLOAD_H_
