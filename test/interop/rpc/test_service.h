// grpc.testing.TestService on ca/rpc, by the description of gRPC's interoperability test cases.
#ifndef MESHCA_TEST_INTEROP_RPC_TEST_SERVICE_H_
#define MESHCA_TEST_INTEROP_RPC_TEST_SERVICE_H_

#include "ca/rpc/router.h"

namespace meshca::rpc {

// Adds EmptyCall, UnaryCall, StreamingInputCall, StreamingOutputCall and FullDuplexCall. Answers on the loop, except
// that UnaryCall with metadata "x-test-thread" answers from a thread of its own.
void AddTestService(Router& router);

}  // namespace meshca::rpc

#endif  // MESHCA_TEST_INTEROP_RPC_TEST_SERVICE_H_
