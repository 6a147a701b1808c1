// What the edge counted. Every loop counts for itself, without locks; reading adds the loops up.
#ifndef MESHCA_CA_RPC_STATS_H_
#define MESHCA_CA_RPC_STATS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/rpc/connection_plan.h"

namespace meshca::rpc {

// Why a connection was cut, refused or a call turned away.
enum class LimitKind : uint8_t {
  kConnectionsGlobal,
  kConnectionsPerSource,
  kConnectionsPrivileged,  // the reserve of the privileged listeners was full
  kGaveWay,                // ended so that somebody else had a place
  kDescriptors,            // accept() failed: RLIMIT_NOFILE or memory
  kSourceOverRate,         // new connection of a source whose bucket is empty
  kHandshakesPaced,        // had to wait in a lane because handshakes of its source fail
  kHandshakeStalled,       // gave its turn to one that waited
  kHandshakeTimeout,
  kFirstCallTimeout,
  kWriteStall,
  kKeepalive,
  kHeaderBytes,
  kMessageBytes,
  kBufferedBytes,
  kSessionBytes,
  kStreamsGlobal,
  kStreamsPerSource,
  kCalls,
  kResets,
  kPings,
  kSettings,
  kControlFrames,
  kSlowReader,  // a stream's queue was full
  kWithdrawn,   // Server::Cut: who it was let in as is not believed any more
  kCount,
};

// "connections_global", "resets", ...: the label in metrics.
absl::string_view LimitName(LimitKind kind);
// "stranger", "certified", "socket", "privileged": the label in metrics.
absl::string_view RoomName(Room room);

inline constexpr size_t kStatusCodes = 17;  // gRPC's, 0..16
inline constexpr size_t kLatencyBuckets = 16;
// Upper edges of the latency buckets but the last, which has none: 50 us, doubled each time.
absl::Duration LatencyBucketEdge(size_t bucket);

struct MethodStats {
  std::string path;  // "" sums up calls to unknown methods
  std::array<uint64_t, kStatusCodes> finished_by_code{};
  uint64_t open = 0;
  uint64_t messages_received = 0;
  uint64_t messages_sent = 0;
  // Unary calls, from headers to the answer handed to HTTP/2. Not cumulative.
  std::array<uint64_t, kLatencyBuckets> latency{};
  absl::Duration latency_sum;
};

struct StatsSnapshot {
  std::vector<MethodStats> methods;
  uint64_t loop_rounds = 0;  // how often the loops woke: many more than events mean that one spins
  uint64_t connections_accepted = 0;
  uint64_t connections_open = 0;
  std::array<uint64_t, kRooms> connections_by_room{};
  uint64_t connections_public_max = 0;  // what GlobalLimits and RLIMIT_NOFILE came to; 0 before Start
  uint64_t connections_privileged_max = 0;
  uint64_t streams_open = 0;
  uint64_t handshakes_open = 0;  // those that hold a turn; SourceLimits::handshakes_max and its global twin bound them
  uint64_t handshakes_ok = 0;
  uint64_t handshakes_failed = 0;
  uint64_t handshakes_resumed = 0;  // of those ok
  uint64_t bytes_received = 0;      // HTTP/2 bytes, after TLS
  uint64_t bytes_sent = 0;
  uint64_t buffered_bytes = 0;  // what GlobalLimits::buffered_bytes_max bounds
  std::array<uint64_t, static_cast<size_t>(LimitKind::kCount)> limits{};

  uint64_t limit(LimitKind kind) const { return limits[static_cast<size_t>(kind)]; }
};

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_STATS_H_
