#include "ca/base/tcp_listen.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

struct HostPort {
  std::string host;  // "": all addresses
  std::string port;
};

absl::StatusOr<HostPort> SplitHostPort(absl::string_view address) {
  const auto bad = [address](absl::string_view what) {
    return absl::InvalidArgumentError(
        absl::StrCat("listen address \"", address, "\": ", what, "; give HOST:PORT, [IPV6]:PORT, :PORT or unix:/PATH"));
  };
  const size_t colon = address.rfind(':');
  if (colon == absl::string_view::npos) return bad("it has no port");
  absl::string_view host = address.substr(0, colon);
  const absl::string_view port = address.substr(colon + 1);
  int number = -1;
  if (!absl::SimpleAtoi(port, &number) || number < 0 || number > 65535) return bad("the port is not 0 to 65535");
  if (absl::ConsumePrefix(&host, "[")) {
    if (!absl::ConsumeSuffix(&host, "]")) return bad("the bracket is not closed");
  } else if (host.find(':') != absl::string_view::npos) {
    return bad("an IPv6 address stands in brackets");
  }
  if (host == "*") host = "";
  return HostPort{std::string(host), absl::StrCat(number)};
}

absl::StatusOr<UniqueFd> BindTo(const addrinfo& target, bool all_addresses) {
  UniqueFd fd(::socket(target.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return ErrnoStatus(errno, "socket");
  const int on = 1;
  const int off = 0;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (target.ai_family == AF_INET6) {
    ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, all_addresses ? &off : &on, sizeof on);
  }
  if (::bind(fd.get(), target.ai_addr, target.ai_addrlen) != 0 || ::listen(fd.get(), kListenBacklog) != 0) {
    if (errno == EADDRINUSE) return absl::AlreadyExistsError("another process listens there");
    return ErrnoStatus(errno, "bind");
  }
  return fd;
}

}  // namespace

std::string BoundAddress(int fd) {
  sockaddr_storage bound{};
  socklen_t size = sizeof bound;
  char host[NI_MAXHOST] = "";
  char port[NI_MAXSERV] = "";
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &size);
  ::getnameinfo(reinterpret_cast<sockaddr*>(&bound), size, host, sizeof host, port, sizeof port,
                NI_NUMERICHOST | NI_NUMERICSERV);
  if (bound.ss_family == AF_INET6) return absl::StrCat("[", host, "]:", port);
  return absl::StrCat(host, ":", port);
}

absl::StatusOr<UniqueFd> BindTcp(absl::string_view address) {
  MESHCA_ASSIGN_OR_RETURN(const HostPort where, SplitHostPort(address));
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error =
      ::getaddrinfo(where.host.empty() ? nullptr : where.host.c_str(), where.port.c_str(), &hints, &found);
  if (error != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("listen address \"", address, "\": host ", where.host, ": ", gai_strerror(error)));
  }
  // All addresses: IPv6 first, its socket takes IPv4 as well. A name: IPv4 first, which every client reaches.
  const int first = where.host.empty() ? AF_INET6 : AF_INET;
  absl::Status failure = absl::InvalidArgumentError("the host has no address");
  UniqueFd fd;
  for (const bool preferred : {true, false}) {
    for (addrinfo* target = found; target != nullptr && !fd.valid(); target = target->ai_next) {
      if ((target->ai_family == first) != preferred) continue;
      auto bound = BindTo(*target, where.host.empty());
      if (bound.ok()) {
        fd = *std::move(bound);
      } else {
        failure = bound.status();
      }
    }
  }
  ::freeaddrinfo(found);
  if (!fd.valid()) return Annotate(failure, absl::StrCat("listen on ", address));
  return fd;
}

}  // namespace meshca
