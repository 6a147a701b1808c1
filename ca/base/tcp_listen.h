// TCP addresses to listening sockets.
#ifndef MESHCA_CA_BASE_TCP_LISTEN_H_
#define MESHCA_CA_BASE_TCP_LISTEN_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/base/unique_fd.h"

namespace meshca {

// Connections that wait to be accepted; the kernel bounds it too.
constexpr int kListenBacklog = 4096;

// A socket that listens on `address` ("127.0.0.1:0", "[::1]:0", "localhost:0", ":0" for all addresses); non-blocking.
// Errors: InvalidArgument (address), AlreadyExists (in use), PermissionDenied, Internal.
absl::StatusOr<UniqueFd> BindTcp(absl::string_view address);

// Where `fd` listens, with the real port: "127.0.0.1:40123", "[::1]:40123".
std::string BoundAddress(int fd);

}  // namespace meshca

#endif  // MESHCA_CA_BASE_TCP_LISTEN_H_
