// What the command finds in libmeshca_grpc_client.so: RpcClient by the gRPC library.
//
// A library of its own, opened by the first command that makes a call: gRPC and what it needs take 3 MiB of memory and
// a third of the start-up, and `meshca serve` has no use for them.
#ifndef MESHCA_CLI_CLIENT_GRPC_CLIENT_H_
#define MESHCA_CLI_CLIENT_GRPC_CLIENT_H_

#include <memory>
#include <string>

#include "cli/client/rpc_client.h"

namespace meshca::cli {

// ReasonInDetails: it needs a message that the command has, and protobuf wants each message once a process.
using ReasonReader = std::string (*)(const std::string& details);

struct GrpcClientEntry {
  std::unique_ptr<RpcClient> (*unix_socket)(const std::string& path, ReasonReader reason_in);
  std::unique_ptr<RpcClient> (*tls)(const TlsTarget& target, ReasonReader reason_in);
};

}  // namespace meshca::cli

// The library's one symbol. Command and library come from the same build.
extern "C" __attribute__((visibility("default"))) const meshca::cli::GrpcClientEntry kMeshcaGrpcClient;

#endif  // MESHCA_CLI_CLIENT_GRPC_CLIENT_H_
