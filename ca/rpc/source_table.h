// Where connections come from, and what each source has used up.
#ifndef MESHCA_CA_RPC_SOURCE_TABLE_H_
#define MESHCA_CA_RPC_SOURCE_TABLE_H_

#include <sys/socket.h>
#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "ca/base/mutex.h"
#include "ca/rpc/limits.h"
#include "ca/rpc/token_bucket.h"

namespace meshca::rpc {

// An IPv4 address, an IPv6 /64 (one customer's network: within it addresses cost nothing), this host's loopback, a uid
// on ordinary or on privileged Unix sockets, or the identity of a client certificate.
struct SourceKey {
  enum class Kind : uint8_t { kIpv4, kIpv6, kLoopback, kUid, kPrivilegedUid, kIdentity };
  Kind kind = Kind::kIpv4;
  uint64_t value = 0;

  // All of 127/8, mapped into IPv6 or not, and ::1 are one source: any local user may call from each of them.
  static SourceKey OfAddress(const sockaddr_storage& address);
  // The same uid by an ordinary and by a privileged socket is two sources, so that what a user's workloads do there
  // costs the operator nothing here.
  static SourceKey OfUid(uid_t uid, bool privileged = false) {
    return {privileged ? Kind::kPrivilegedUid : Kind::kUid, uid};
  }
  // `name` is what the verifier calls the client, or the bytes of its certificate. Two names share a key with
  // probability 2^-64 only, also when somebody makes up names for it (SHA-256, cut).
  static SourceKey OfIdentity(absl::string_view name);

  bool operator==(const SourceKey& other) const { return kind == other.kind && value == other.value; }
  template <typename H>
  friend H AbslHashValue(H h, const SourceKey& key) {
    return H::combine(std::move(h), key.kind, key.value);
  }
};
inline constexpr size_t kSourceKinds = 6;

// One source's use over all loops and listeners. Any thread.
struct Source {
  Source(const SourceKey& source_key, std::string shown_name) : key(source_key), name(std::move(shown_name)) {}

  const SourceKey key;
  // For the log: "192.0.2.7", "2001:db8::/64", "loopback", "uid 1000", "uid 0 (privileged)", "spiffe://...".
  const std::string name;
  std::atomic<uint32_t> connections{0};
  // Connections from this address that now count under the identity of their certificates, and when the last one did.
  std::atomic<uint32_t> certified{0};
  std::atomic<int64_t> certified_ns{0};
  std::atomic<uint32_t> handshakes{0};
  // Connections that wait for one of the source's handshakes to end.
  std::atomic<uint32_t> handshake_waiters{0};
  // What it has of Edge::streams and Edge::buffered_bytes.
  std::atomic<size_t> streams{0};
  std::atomic<size_t> buffered_bytes{0};
  std::atomic<int64_t> last_seen_ns{0};
  TokenBucket calls;
  TokenBucket resets;
  TokenBucket pings;
  TokenBucket settings;
  TokenBucket handshake_failures;

  // Whether a bucket of what its connections did is in debt, so that new ones are refused. Failed handshakes are not
  // among them: those pace the handshakes that follow.
  bool OverRate(const SourceLimits& limits, int64_t now_ns) const;
  // Whether its handshakes are paced.
  bool Paced(const SourceLimits& limits, int64_t now_ns) const {
    return handshake_failures.InDebt(limits.handshake_failures, now_ns) || OverRate(limits, now_ns);
  }
};

// Thread-safe; used once a connection. Remembers a source for a minute beyond its last connection, and at most 131,072
// sources: then those seen longest ago go first.
class SourceTable {
 public:
  static constexpr size_t kSourcesMax = 131'072;
  static constexpr int64_t kMemoryNs = 60'000'000'000;

  // `identity`: what the log calls a source of kind kIdentity; ignored for others.
  std::shared_ptr<Source> Find(const SourceKey& key, int64_t now_ns, absl::string_view identity = {});
  size_t size() const;

 private:
  void Sweep(int64_t older_than_ns) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable Mutex mutex_;
  absl::flat_hash_map<SourceKey, std::shared_ptr<Source>> sources_ ABSL_GUARDED_BY(mutex_);
  int64_t next_sweep_ns_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_SOURCE_TABLE_H_
