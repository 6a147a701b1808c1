// Server reflection, grpc.reflection.v1 and v1alpha: what grpcurl and grpc_cli ask.
#ifndef MESHCA_CA_RPC_REFLECTION_H_
#define MESHCA_CA_RPC_REFLECTION_H_

#include "ca/rpc/router.h"

namespace meshca::rpc {

// Adds both versions to `router`. They list the services `router` has by then, so add them last; files and symbols come
// from the descriptors linked into the program.
void AddReflection(Router& router);

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_REFLECTION_H_
