// nghttp2's callbacks of a server session whose user data is a Connection.
#ifndef MESHCA_CA_RPC_HTTP2_CALLBACKS_H_
#define MESHCA_CA_RPC_HTTP2_CALLBACKS_H_

#include <nghttp2/nghttp2.h>

#include "ca/rpc/edge.h"
#include "ca/rpc/limits.h"

namespace meshca::rpc {

// The callbacks, made once for the process.
const nghttp2_session_callbacks* SessionCallbacks();

// Session options that carry out `limits`.
Nghttp2OptionPtr SessionOptions(const ConnectionLimits& limits);

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_HTTP2_CALLBACKS_H_
