// Every limit of the edge, with the default and what meeting it does. The defaults are far above what a mesh of real
// clients reaches, and low enough that no client, and no thousand connections of one client, hurts the others.
#ifndef MESHCA_CA_RPC_LIMITS_H_
#define MESHCA_CA_RPC_LIMITS_H_

#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"

namespace meshca::rpc {

// A token bucket: `burst` at once, then `per_second`. 0 per second and 0 burst: no limit.
struct RateLimit {
  uint32_t burst = 0;
  uint32_t per_second = 0;
};

// Per connection; a listener has one set. "Cut" is GOAWAY ENHANCE_YOUR_CALM and close, and counts in Stats.
struct ConnectionLimits {
  // From accept to the end of the TLS handshake, waiting for a slot included. Then: closed.
  absl::Duration handshake_timeout = absl::Seconds(10);
  // A client that was silent this long in its handshake, while others wait for a turn that its source has none left of.
  // Then: closed, and a failed handshake of its source; the turn goes to one that waits.
  absl::Duration handshake_stall = absl::Milliseconds(250);
  // From there to the first call. Then: GOAWAY, closed.
  absl::Duration first_call_timeout = absl::Seconds(60);
  // Without an open call. Then: GOAWAY, closed; clients connect again when they need to.
  absl::Duration idle_timeout = absl::Minutes(30);
  // Age at which a connection gets GOAWAY, +-10 % so that a fleet does not come back at once; its calls go on for
  // age_grace, then end Unavailable. Not on Unix sockets.
  absl::Duration age_max = absl::Hours(12);
  absl::Duration age_grace = absl::Minutes(5);
  // A connection with open calls that was silent this long gets a PING; unanswered: closed. Not on Unix sockets,
  // where the kernel tells.
  absl::Duration keepalive_interval = absl::Seconds(60);
  absl::Duration keepalive_timeout = absl::Seconds(20);
  // Bytes wait for the client and none could be written. Then: closed.
  absl::Duration write_stall_timeout = absl::Seconds(30);

  // SETTINGS_MAX_CONCURRENT_STREAMS. More: REFUSED_STREAM, counted as a reset.
  uint32_t streams_max = 1024;
  // Names, values and 32 a header (RFC 9113 §6.5.2). More: the call is ResourceExhausted, and counts as a reset;
  // nothing of the headers beyond is kept, and each counts among the control frames.
  uint32_t header_bytes_max = 16 * 1024;
  // The same, of one header block. More: cut. Above what continuations_max lets through of headers that are not
  // repeated.
  uint32_t header_bytes_cut = 256 * 1024;
  // Request bytes of unfinished messages. The call that would exceed it: ResourceExhausted.
  size_t request_bytes_max = 8 * 1024 * 1024;
  // What the handlers of its streams keep for them (Stream::HoldBytes), such as the names of an SDS subscription. The
  // stream that would exceed it: ResourceExhausted.
  size_t held_bytes_max = 8 * 1024 * 1024;
  // What the HTTP/2 session holds for itself (queued frames, header tables, streams). More: cut.
  size_t session_bytes_max = 4 * 1024 * 1024;
  // RST_STREAM, both directions. More: cut.
  RateLimit resets = {1000, 100};
  // PING without a call answered in between (bandwidth probes ride on data and are free). More: cut.
  RateLimit pings = {100, 5};
  // SETTINGS. More: cut.
  RateLimit settings = {50, 2};
  // WINDOW_UPDATE, PRIORITY, empty DATA and unknown frames, headers beyond header_bytes_max. More: cut.
  RateLimit control_frames = {20'000, 5'000};
  // CONTINUATION frames of one header block, of up to 16 KiB like the HEADERS before them. More: cut.
  uint32_t continuations_max = 8;
};

// Per source: an IPv4 address, an IPv6 /64, the loopback (all of 127/8 and ::1), a uid on Unix sockets, a uid on
// privileged ones, or the identity of a client certificate, which a connection counts under from its handshake on.
// Counted over all listeners of a Server and kept for a minute beyond the last connection, so that reconnecting gains
// nothing. A source over a rate has its connection cut, and new ones closed until the bucket has room: at accept, or,
// where a client may still prove to be another source than its address, after a paced handshake.
struct SourceLimits {
  // Never more than 5/8 of all (ConnectionPlan). More: closed at accept; where certificates are asked for, the one of
  // the source that has been idle longest gives way instead.
  uint32_t connections_max = 12'288;
  // TLS handshakes in progress; further connections wait for their turn.
  uint32_t handshakes_max = 256;
  // Calls open at the same time over all its connections. Never more than half of GlobalLimits::streams_max
  // (FairBudget). More: ResourceExhausted, and each such answer counts as a reset.
  uint32_t streams_max = 100'000;
  // Streams begun, whatever becomes of them. More: ResourceExhausted, or 429 where the request is none of gRPC's, and
  // each such answer counts as a reset.
  RateLimit calls = {10'000, 10'000};
  // RST_STREAM in both directions, and streams that were open when a connection closed.
  RateLimit resets = {20'000, 1'000};
  RateLimit pings = {10'000, 1'000};
  RateLimit settings = {20'000, 1'000};
  // Failed handshakes. More: the handshakes of the source are paced (PacedLanes): together with those of all others in
  // this state they have a third of a loop's time.
  RateLimit handshake_failures = {2'000, 200};
  // Unread answers, unfinished requests, metadata of open calls and what streams keep together. Never more than half of
  // GlobalLimits::buffered_bytes_max (FairBudget). The call that would exceed it: ResourceExhausted.
  size_t buffered_bytes_max = 64 * 1024 * 1024;
};

// The whole Server: a backstop, whoever causes it.
struct GlobalLimits {
  // By public listeners. Start() lowers it to what RLIMIT_NOFILE allows, less `descriptors_kept` and the privileged
  // listeners' reserve (ConnectionPlan). More: the idlest connection of the source that has the most gives way, or,
  // where that has no more than the newcomer's, the newcomer is closed at accept.
  uint32_t connections_max = 32'768;
  // By privileged listeners; at most an eighth of what RLIMIT_NOFILE leaves. Nobody else can use them.
  uint32_t privileged_connections_max = 256;
  // Descriptors that the edge leaves to the rest of the process: files, database, the HTTP of probes.
  uint32_t descriptors_kept = 256;
  // TLS handshakes in progress; further connections wait for their turn.
  uint32_t handshakes_max = 1'024;
  // Calls open at the same time, at about 1 KiB each. More: ResourceExhausted. Here and with the bytes no source has
  // more than half, the last quarter is for sources that have little, and privileged listeners may go an eighth beyond,
  // so that nobody fills up what operators need (FairBudget).
  uint32_t streams_max = 262'144;
  // Unread answers, unfinished requests, metadata of open calls and what streams keep together. The call that would
  // exceed it: ResourceExhausted. Payloads shared by several streams count once, with the stream that holds them alone.
  size_t buffered_bytes_max = 256 * 1024 * 1024;
};

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_LIMITS_H_
