#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/log.h"
#include "ca/base/process_stat.h"
#include "ca/rpc/connection.h"
#include "ca/rpc/listener.h"
#include "ca/rpc/tls_handshake.h"

namespace meshca::rpc {
namespace {

// Connections taken in one round of the loop.
constexpr int kAcceptsPerRound = 8;
// Out of descriptors: how long to leave the socket alone.
constexpr int64_t kOutOfDescriptorsNs = 100'000'000;
// How many connections may be open beyond the plan while other loops end some. The descriptors kept for the rest of the
// process (GlobalLimits::descriptors_kept) have room for them.
constexpr uint32_t kPlacesOwedMax = 32;

// 0: the process is gone, or /proc cannot be read.
uint64_t StartTicks(pid_t pid) { return ProcessStartTicks(pid).value_or(0); }

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
      loop_.stats().Count(LimitKind::kDescriptors);
      loop_.edge().shut_out.TellNoDescriptors(std::strerror(errno), loop_.now_ns());
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
    key = SourceKey::OfUid(credentials.uid, peer.privileged);
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
  std::shared_ptr<Source> source = edge.sources.Find(key, loop_.now_ns());
  // Where clients may still prove who they are, what strangers did from the same address is no reason to refuse them:
  // their handshake is paced, and who is still a stranger after it is refused then.
  if (source->OverRate(edge.source, loop_.now_ns()) && !AsksForCertificates()) {
    Refuse(LimitKind::kSourceOverRate, *source, peer.address);
    return;
  }
  const Room room = !listener_.is_unix ? Room::kStranger : peer.privileged ? Room::kPrivileged : Room::kSocket;
  if (!FindPlace(room, source, peer.address)) return;
  if (peer.unix_credentials) peer.unix_credentials->pid_start_ticks = StartTicks(peer.unix_credentials->pid);
  peer.connection_id = edge.connection_ids.fetch_add(1, std::memory_order_relaxed) + 1;

  Loop& home = LeastLoaded();
  auto connection =
      std::make_unique<Connection>(home, listener_, std::move(fd), room, std::move(source), std::move(peer));
  if (&home == &loop_) return loop_.Adopt(std::move(connection));
  home.mailbox()->Post([&home, connection = std::move(connection)]() mutable { home.Adopt(std::move(connection)); });
}

bool Acceptor::FindPlace(Room room, const std::shared_ptr<Source>& source, absl::string_view peer) {
  Edge& edge = loop_.edge();
  const ConnectionPlan& plan = edge.plan;
  const bool privileged = room == Room::kPrivileged;
  const auto open = [&edge](Room of) { return edge.Open(of).load(std::memory_order_relaxed); };
  const bool at_share = source->connections.load(std::memory_order_relaxed) >= plan.PerSource(room);
  const bool kind_full = open(room) >= (privileged ? plan.privileged_max : plan.kind_max);
  const bool full = kind_full || (!privileged && edge.PublicConnections() >= plan.public_max);
  if (!full && !at_share) return true;

  // The largest source makes room for a smaller one: among its own kind where that kind has all it may have.
  if (!at_share) {
    std::vector<Room> rooms = {room};
    if (!kind_full) {
      // An eighth is each kind's own. Beyond it strangers displace strangers alone, and a uid nobody who has shown a
      // certificate: else a thousand addresses with little each would eat up those who have proven who they are.
      if (room == Room::kSocket) rooms.push_back(Room::kStranger);
      if (open(room) < plan.kind_own) rooms = {Room::kStranger, Room::kCertified, Room::kSocket};
    }
    if (Displace(std::move(rooms), source, /*of_newcomers_source=*/false)) return true;
  }
  // The newcomer may be about to prove that it is somebody else than the stranger of its address who has been idle
  // longest. Others gain nothing by a new connection instead of an old one.
  if (AsksForCertificates() && Displace({room}, source, /*of_newcomers_source=*/true)) return true;
  const LimitKind full_limit = privileged ? LimitKind::kConnectionsPrivileged : LimitKind::kConnectionsGlobal;
  return Refuse(full ? full_limit : LimitKind::kConnectionsPerSource, *source, peer);
}

bool Acceptor::Displace(std::vector<Room> rooms, const std::shared_ptr<Source>& newcomer, bool of_newcomers_source) {
  switch (loop_.GiveUpPlace(rooms, *newcomer, of_newcomers_source)) {
    case Loop::Place::kGivenUp: return true;
    case Loop::Place::kNobodyLarger: return false;
    case Loop::Place::kNobodyHere: break;
  }
  // Connections are spread evenly over the loops, so this is rare: somebody on another loop gives way, and the newcomer
  // is let in meanwhile, as long as few places are owed.
  Edge& edge = loop_.edge();
  Loop* other = nullptr;
  for (const auto& loop : loops_) {
    if (loop.get() == &loop_) continue;
    if (other == nullptr ||
        loop->load().load(std::memory_order_relaxed) > other->load().load(std::memory_order_relaxed)) {
      other = loop.get();
    }
  }
  if (other == nullptr || edge.PublicConnections() >= edge.plan.public_max + kPlacesOwedMax ||
      edge.places_owed.load(std::memory_order_relaxed) >= kPlacesOwedMax) {
    return false;
  }
  edge.places_owed.fetch_add(1, std::memory_order_relaxed);
  other->mailbox()->Post([&edge, other, newcomer, of_newcomers_source, rooms = std::move(rooms)] {
    other->GiveUpPlace(rooms, *newcomer, of_newcomers_source);
    edge.places_owed.fetch_sub(1, std::memory_order_relaxed);
  });
  return true;
}

bool Acceptor::Refuse(LimitKind limit, const Source& source, absl::string_view peer) {
  loop_.stats().Count(limit);
  loop_.edge().shut_out.Tell(limit, source, peer, loop_.now_ns());
  return false;
}

bool Acceptor::AsksForCertificates() const {
  return listener_.options.tls != nullptr &&
         CurrentState(*listener_.options.tls)->client_certificates != ClientCertificates::kNone;
}

Loop& Acceptor::LeastLoaded() const {
  Loop* best = &loop_;
  for (const auto& loop : loops_) {
    if (loop->load().load(std::memory_order_relaxed) < best->load().load(std::memory_order_relaxed)) best = loop.get();
  }
  return *best;
}

}  // namespace meshca::rpc
