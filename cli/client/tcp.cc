#include "cli/client/tcp.h"

#include "ca/base/clock.h"
#include "ca/base/status.h"
#include "ca/base/tcp_connect.h"
#include "cli/client/address.h"

namespace meshca::cli {
namespace {

// The same moment by the clock that nobody sets.
absl::Duration SinceBoot(absl::Time until) { return SystemClock().SinceBoot() + (until - absl::Now()); }

}  // namespace

absl::StatusOr<UniqueFd> ConnectTcp(const std::string& address, absl::Time until) {
  absl::StatusOr<UniqueFd> fd = TcpConnect(HostOf(address), PortOf(address), SinceBoot(until));
  if (!fd.ok()) return Annotate(fd.status(), address);
  return fd;
}

}  // namespace meshca::cli
