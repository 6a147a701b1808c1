// Where connections come from, and what each source has used up.
#ifndef MESHCA_CA_RPC_SOURCE_TABLE_H_
#define MESHCA_CA_RPC_SOURCE_TABLE_H_

#include <sys/socket.h>
#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <tuple>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "ca/base/mutex.h"
#include "ca/rpc/limits.h"
#include "ca/rpc/token_bucket.h"

namespace meshca::rpc {

// An IPv4 address, an IPv6 /64 (one customer's network: within it addresses cost nothing) or a uid.
struct SourceKey {
  enum class Kind : uint8_t { kIpv4, kIpv6, kUid };
  Kind kind = Kind::kIpv4;
  uint64_t value = 0;

  static SourceKey OfAddress(const sockaddr_storage& address);
  static SourceKey OfUid(uid_t uid) { return {Kind::kUid, uid}; }

  bool operator==(const SourceKey& other) const { return kind == other.kind && value == other.value; }
  template <typename H>
  friend H AbslHashValue(H h, const SourceKey& key) {
    return H::combine(std::move(h), key.kind, key.value);
  }
};

// One source's use over all loops and listeners. Any thread.
struct Source {
  std::atomic<uint32_t> connections{0};
  std::atomic<uint32_t> handshakes{0};
  std::atomic<uint32_t> streams{0};
  std::atomic<size_t> buffered_bytes{0};
  std::atomic<int64_t> last_seen_ns{0};
  TokenBucket calls;
  TokenBucket resets;
  TokenBucket pings;
  TokenBucket settings;
  TokenBucket handshake_failures;

  // Whether some bucket is in debt, so that new connections are refused.
  bool OverRate(const SourceLimits& limits, int64_t now_ns) const;
};

// Thread-safe; used once a connection. Remembers a source for a minute beyond its last connection, and at most 65,536
// sources: then those seen longest ago go first.
class SourceTable {
 public:
  static constexpr size_t kSourcesMax = 65'536;
  static constexpr int64_t kMemoryNs = 60'000'000'000;

  std::shared_ptr<Source> Find(const SourceKey& key, int64_t now_ns);
  size_t size() const;

 private:
  void Sweep(int64_t older_than_ns) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable Mutex mutex_;
  absl::flat_hash_map<SourceKey, std::shared_ptr<Source>> sources_ ABSL_GUARDED_BY(mutex_);
  int64_t next_sweep_ns_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_SOURCE_TABLE_H_
