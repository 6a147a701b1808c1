#include "ca/rpc/loop_stats.h"

#include <algorithm>
#include <bit>

namespace meshca::rpc {

absl::string_view LimitName(LimitKind kind) {
  switch (kind) {
    case LimitKind::kConnectionsGlobal: return "connections_global";
    case LimitKind::kConnectionsPerSource: return "connections_per_source";
    case LimitKind::kConnectionsPrivileged: return "connections_privileged";
    case LimitKind::kGaveWay: return "gave_way";
    case LimitKind::kDescriptors: return "descriptors";
    case LimitKind::kSourceOverRate: return "source_over_rate";
    case LimitKind::kHandshakesPaced: return "handshakes_paced";
    case LimitKind::kHandshakeStalled: return "handshake_stalled";
    case LimitKind::kHandshakeTimeout: return "handshake_timeout";
    case LimitKind::kFirstCallTimeout: return "first_call_timeout";
    case LimitKind::kWriteStall: return "write_stall";
    case LimitKind::kKeepalive: return "keepalive";
    case LimitKind::kHeaderBytes: return "header_bytes";
    case LimitKind::kMessageBytes: return "message_bytes";
    case LimitKind::kBufferedBytes: return "buffered_bytes";
    case LimitKind::kSessionBytes: return "session_bytes";
    case LimitKind::kStreamsGlobal: return "streams_global";
    case LimitKind::kStreamsPerSource: return "streams_per_source";
    case LimitKind::kCalls: return "calls";
    case LimitKind::kResets: return "resets";
    case LimitKind::kPings: return "pings";
    case LimitKind::kSettings: return "settings";
    case LimitKind::kControlFrames: return "control_frames";
    case LimitKind::kSlowReader: return "slow_reader";
    case LimitKind::kWithdrawn: return "withdrawn";
    case LimitKind::kCount: break;
  }
  return "unknown";
}

absl::string_view RoomName(Room room) {
  switch (room) {
    case Room::kStranger: return "stranger";
    case Room::kCertified: return "certified";
    case Room::kSocket: return "socket";
    case Room::kPrivileged: return "privileged";
  }
  return "unknown";
}

absl::Duration LatencyBucketEdge(size_t bucket) {
  if (bucket + 1 >= kLatencyBuckets) return absl::InfiniteDuration();
  return absl::Microseconds(int64_t{50} << bucket);
}

void MethodCounters::CountLatency(int64_t nanoseconds) {
  // Bucket 0 ends at 50 us, each later one at twice the one before.
  const auto units = static_cast<uint64_t>(std::max<int64_t>(0, nanoseconds - 1)) / 50'000;
  latency[std::min<size_t>(std::bit_width(units), kLatencyBuckets - 1)].Add();
  latency_sum_ns.Add(static_cast<uint64_t>(std::max<int64_t>(0, nanoseconds)));
}

void LoopStats::AddTo(StatsSnapshot& total) const {
  for (size_t i = 0; i < methods.size(); ++i) {
    const MethodCounters& from = methods[i];
    MethodStats& to = total.methods[i];
    for (size_t code = 0; code < kStatusCodes; ++code) to.finished_by_code[code] += from.finished_by_code[code].get();
    for (size_t bucket = 0; bucket < kLatencyBuckets; ++bucket) to.latency[bucket] += from.latency[bucket].get();
    to.open += from.open.get();
    to.messages_received += from.messages_received.get();
    to.messages_sent += from.messages_sent.get();
    to.latency_sum += absl::Nanoseconds(static_cast<int64_t>(from.latency_sum_ns.get()));
  }
  total.loop_rounds += rounds.get();
  total.connections_accepted += connections_accepted.get();
  total.handshakes_ok += handshakes_ok.get();
  total.handshakes_failed += handshakes_failed.get();
  total.handshakes_resumed += handshakes_resumed.get();
  total.streams_open += streams_open.get();
  total.bytes_received += bytes_received.get();
  total.bytes_sent += bytes_sent.get();
  for (size_t i = 0; i < limits.size(); ++i) total.limits[i] += limits[i].get();
}

}  // namespace meshca::rpc
