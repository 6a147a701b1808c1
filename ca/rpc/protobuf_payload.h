// Protobuf messages as payloads: the one header of ca/rpc that shows protobuf.
#ifndef MESHCA_CA_RPC_PROTOBUF_PAYLOAD_H_
#define MESHCA_CA_RPC_PROTOBUF_PAYLOAD_H_

#include <google/protobuf/message_lite.h>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "ca/rpc/payload.h"

namespace meshca::rpc {

// Serialises `message` straight behind its prefix: no intermediate copy.
Payload Frame(const google::protobuf::MessageLite& message);

// `message` followed by `tail`, the serialisation of another message of its type: one that is read as the two merged
// (protobuf's "Last One Wins": repeated fields of the tail come after the message's). For answers that end alike.
Payload Frame(const google::protobuf::MessageLite& message, absl::string_view tail);

// Parses `bytes` into `message`, replacing what it held.
// Errors: InvalidArgument with the message's type name, when the bytes are not that type.
absl::Status ParseMessage(absl::string_view bytes, google::protobuf::MessageLite& message);

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_PROTOBUF_PAYLOAD_H_
