// The handle a unary handler gets on its stream.
#ifndef MESHCA_CA_RPC_SERVER_CALL_H_
#define MESHCA_CA_RPC_SERVER_CALL_H_

#include <memory>

#include "ca/rpc/call.h"
#include "ca/rpc/server_stream.h"

namespace meshca::rpc {

// The Call of `stream`, whose request is complete. Its last reference finishes it when nobody did.
std::shared_ptr<Call> MakeCall(std::shared_ptr<ServerStream> stream);

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_SERVER_CALL_H_
