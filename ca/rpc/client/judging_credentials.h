// TLS credentials under which a server is believed by a verdict of ours, instead of by gRPC's roots and names.
#ifndef MESHCA_CA_RPC_CLIENT_JUDGING_CREDENTIALS_H_
#define MESHCA_CA_RPC_CLIENT_JUDGING_CREDENTIALS_H_

#include <grpcpp/security/credentials.h>

#include <memory>

#include "ca/rpc/client/client_channel.h"

namespace meshca::rpc {

// `server.verdict` is set.
std::shared_ptr<grpc::ChannelCredentials> JudgingCredentials(TlsServer server);

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_CLIENT_JUDGING_CREDENTIALS_H_
