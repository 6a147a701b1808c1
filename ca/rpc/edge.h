// What all loops of one Server share.
#ifndef MESHCA_CA_RPC_EDGE_H_
#define MESHCA_CA_RPC_EDGE_H_

#include <nghttp2/nghttp2.h>
#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "ca/base/clock.h"
#include "ca/base/openssl_ptr.h"
#include "ca/base/unique_fd.h"
#include "ca/rpc/limits.h"
#include "ca/rpc/server.h"
#include "ca/rpc/source_table.h"

namespace meshca::rpc {

// Counters are touched by every loop; each on a cache line of its own would save little, as calls touch two.
struct Edge {
  GlobalLimits global;
  SourceLimits source;
  Clock* clock = nullptr;
  SourceTable sources;
  std::atomic<uint32_t> connections{0};
  std::atomic<uint32_t> handshakes{0};
  std::atomic<uint32_t> streams{0};
  std::atomic<size_t> buffered_bytes{0};
  std::atomic<uint64_t> connection_ids{0};
};

using Nghttp2OptionPtr = OpenSslPtr<nghttp2_option, nghttp2_option_del>;

// One bound socket and what its connections get. Immutable once serving.
struct Listener {
  ListenerOptions options;
  UniqueFd fd;
  bool is_unix = false;
  // Of the socket file, so that Shutdown removes ours and not a successor's.
  dev_t unix_device = 0;
  ino_t unix_inode = 0;
  // Where this router's methods start in LoopStats::methods.
  size_t methods_offset = 0;
  Nghttp2OptionPtr http2_options;
};

// Nanoseconds of the monotonic clock: every time inside the edge.
int64_t MonotonicNanos();

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_EDGE_H_
