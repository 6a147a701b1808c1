// Between our types and gRPC's.
#ifndef MESHCA_CA_RPC_CLIENT_GRPC_CONVERSION_H_
#define MESHCA_CA_RPC_CLIENT_GRPC_CONVERSION_H_

#include <grpcpp/client_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/status.h>

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "ca/rpc/client/client_channel.h"

namespace meshca::rpc {

grpc::ByteBuffer BufferOf(absl::string_view message);

// The bytes of a message in one piece, which must outlive what is made of it.
grpc::Slice SliceOf(const grpc::ByteBuffer& buffer);
absl::string_view BytesOf(const grpc::Slice& slice);

// `where` names the server in errors that it did not send itself.
absl::Status StatusOf(const grpc::Status& status, const std::string& where);

// Deadline, token and patience of a call that has not begun.
void SetCallOptions(const ClientCallOptions& options, grpc::ClientContext& context);

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_CLIENT_GRPC_CONVERSION_H_
