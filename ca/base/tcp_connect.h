// A TCP connection as a client, within a time.
#ifndef MESHCA_CA_BASE_TCP_CONNECT_H_
#define MESHCA_CA_BASE_TCP_CONNECT_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/base/unique_fd.h"

namespace meshca {

// A connected, non-blocking socket: the first address of `host` (a name, or an address without brackets) that takes the
// connection. `until` is by Clock::SinceBoot; the name's lookup alone may take longer, as the resolver is configured.
// Unavailable says what happened.
absl::StatusOr<UniqueFd> TcpConnect(const std::string& host, const std::string& port, absl::Duration until);

// Waits until `fd` is ready for `events` of poll(); false: not before `until`.
bool WaitForSocket(int fd, short events, absl::Duration until);

}  // namespace meshca

#endif  // MESHCA_CA_BASE_TCP_CONNECT_H_
