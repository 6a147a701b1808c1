#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "ca/base/log.h"
#include "ca/rpc/connection.h"
#include "ca/rpc/listener.h"

namespace meshca::rpc {
namespace {

// Connections taken in one round of the loop.
constexpr int kAcceptsPerRound = 8;
// Out of descriptors: how long to leave the socket alone.
constexpr int64_t kOutOfDescriptorsNs = 100'000'000;

// Field 22 of /proc/PID/stat. Field 2 is the program's name in parentheses and may hold anything, so fields are counted
// from the last parenthesis.
uint64_t StartTicks(pid_t pid) {
  UniqueFd fd(::open(absl::StrCat("/proc/", pid, "/stat").c_str(), O_RDONLY | O_CLOEXEC));
  char buffer[1024];
  const ssize_t size = fd.valid() ? ::read(fd.get(), buffer, sizeof buffer) : -1;
  if (size <= 0) return 0;
  absl::string_view text(buffer, static_cast<size_t>(size));
  const size_t parenthesis = text.rfind(')');
  if (parenthesis == absl::string_view::npos) return 0;
  const std::vector<absl::string_view> fields = absl::StrSplit(text.substr(parenthesis + 1), ' ', absl::SkipEmpty());
  constexpr size_t kStartTime = 22 - 3;  // The first here is field 3.
  uint64_t ticks = 0;
  if (fields.size() <= kStartTime || !absl::SimpleAtoi(fields[kStartTime], &ticks)) return 0;
  return ticks;
}

std::string AddressText(const sockaddr_storage& address) {
  char host[INET6_ADDRSTRLEN] = "?";
  if (address.ss_family == AF_INET6) {
    const auto& in6 = reinterpret_cast<const sockaddr_in6&>(address);
    if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) {
      ::inet_ntop(AF_INET, in6.sin6_addr.s6_addr + 12, host, sizeof host);
      return absl::StrCat(host, ":", ntohs(in6.sin6_port));
    }
    ::inet_ntop(AF_INET6, &in6.sin6_addr, host, sizeof host);
    return absl::StrCat("[", host, "]:", ntohs(in6.sin6_port));
  }
  const auto& in4 = reinterpret_cast<const sockaddr_in&>(address);
  ::inet_ntop(AF_INET, &in4.sin_addr, host, sizeof host);
  return absl::StrCat(host, ":", ntohs(in4.sin_port));
}

}  // namespace

void Acceptor::Start() {
  // EXCLUSIVE: one waiting connection wakes one loop, not all.
  loop_.Watch(listener_.fd.get(), *this, EPOLLIN | EPOLLEXCLUSIVE);
}

void Acceptor::Stop() {
  loop_.timers().Cancel(*this);
  loop_.Unwatch(listener_.fd.get());
}

void Acceptor::OnEvents(uint32_t events) {
  for (int i = 0; i < kAcceptsPerRound && AcceptOne(); ++i) {
  }
}

bool Acceptor::AcceptOne() {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  UniqueFd fd(
      ::accept4(listener_.fd.get(), reinterpret_cast<sockaddr*>(&address), &size, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!fd.valid()) {
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      LogWarning("cannot accept connections", {{"error", std::strerror(errno)}});
      loop_.Unwatch(listener_.fd.get());
      loop_.timers().Set(*this, loop_.now_ns() + kOutOfDescriptorsNs);
    }
    return errno == ECONNABORTED || errno == EINTR;
  }
  Peer peer;
  SourceKey key;
  if (listener_.is_unix) {
    ucred credentials{};
    socklen_t credentials_size = sizeof credentials;
    if (::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &credentials_size) != 0) return true;
    peer.transport = Transport::kUnix;
    peer.unix_credentials = UnixCredentials{credentials.pid, credentials.uid, credentials.gid, 0};
    peer.privileged = listener_.options.privileged;
    peer.address = absl::StrCat("unix:uid=", credentials.uid, ",pid=", credentials.pid);
    key = SourceKey::OfUid(credentials.uid);
  } else {
    const int on = 1;
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    peer.transport = listener_.options.tls ? Transport::kTls : Transport::kPlaintext;
    peer.address = AddressText(address);
    key = SourceKey::OfAddress(address);
  }
  Admit(std::move(fd), key, std::move(peer));
  return true;
}

void Acceptor::Admit(UniqueFd fd, const SourceKey& key, Peer peer) {
  Edge& edge = loop_.edge();
  LoopStats& stats = loop_.stats();
  stats.connections_accepted.Add();
  if (edge.connections.load(std::memory_order_relaxed) >= edge.global.connections_max) {
    return stats.Count(LimitKind::kConnectionsGlobal);
  }
  std::shared_ptr<Source> source = edge.sources.Find(key, loop_.now_ns());
  if (source->connections.load(std::memory_order_relaxed) >= edge.source.connections_max) {
    return stats.Count(LimitKind::kConnectionsPerSource);
  }
  if (source->OverRate(edge.source, loop_.now_ns())) return stats.Count(LimitKind::kSourceOverRate);
  if (peer.unix_credentials) peer.unix_credentials->pid_start_ticks = StartTicks(peer.unix_credentials->pid);
  peer.connection_id = edge.connection_ids.fetch_add(1, std::memory_order_relaxed) + 1;

  Loop& home = LeastLoaded();
  auto connection = std::make_unique<Connection>(home, listener_, std::move(fd), std::move(source), std::move(peer));
  if (&home == &loop_) return loop_.Adopt(std::move(connection));
  home.mailbox()->Post([&home, connection = std::move(connection)]() mutable { home.Adopt(std::move(connection)); });
}

Loop& Acceptor::LeastLoaded() const {
  Loop* best = &loop_;
  for (const auto& loop : loops_) {
    if (loop->load().load(std::memory_order_relaxed) < best->load().load(std::memory_order_relaxed)) best = loop.get();
  }
  return *best;
}

}  // namespace meshca::rpc
