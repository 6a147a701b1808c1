// How the connections that a process can hold are shared out: public listeners, privileged ones, one source of either.
#ifndef MESHCA_CA_RPC_CONNECTION_PLAN_H_
#define MESHCA_CA_RPC_CONNECTION_PLAN_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "ca/rpc/limits.h"

namespace meshca::rpc {

// What a connection counts as.
enum class Room : uint8_t {
  kStranger,    // TCP, and no client certificate was verified (yet)
  kCertified,   // TCP, known by its client certificate
  kSocket,      // a Unix socket, known by its uid
  kPrivileged,  // a privileged listener, in the reserve
};
inline constexpr size_t kRooms = 4;

// Made once, when serving begins, from what the system really gives.
struct ConnectionPlan {
  // Of all public listeners together. Nobody who comes by a public listener can use what lies beyond.
  uint32_t public_max = 0;
  // Of `public_max`, all strangers, and all connections of Unix sockets: neither many addresses nor many uids (a user
  // may have 65,536 subordinate ones) fill everything.
  uint32_t kind_max = 0;
  // Of `public_max`, what strangers, and what Unix sockets, may take from those who have more to show than they.
  uint32_t kind_own = 0;
  // Of `public_max`, one source.
  uint32_t per_source_max = 0;
  // Of `public_max`, those that came from one address and showed certificates, whatever the names in them: a thief of
  // many certificates has no more than this.
  uint32_t certified_per_address_max = 0;
  // The reserve, and one source's part of it.
  uint32_t privileged_max = 0;
  uint32_t privileged_per_source_max = 0;

  uint32_t PerSource(Room room) const { return room == Room::kPrivileged ? privileged_per_source_max : per_source_max; }
};

// `descriptors` is RLIMIT_NOFILE as it is. Every number is at least 1.
ConnectionPlan PlanConnections(uint64_t descriptors, const GlobalLimits& global, const SourceLimits& source);

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_CONNECTION_PLAN_H_
