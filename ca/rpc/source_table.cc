#include "ca/rpc/source_table.h"

#include <netinet/in.h>

#include <cstring>
#include <utility>

namespace meshca::rpc {

SourceKey SourceKey::OfAddress(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET6) {
    const auto& in6 = reinterpret_cast<const sockaddr_in6&>(address);
    if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) {
      uint32_t v4 = 0;
      std::memcpy(&v4, in6.sin6_addr.s6_addr + 12, sizeof v4);
      return {Kind::kIpv4, v4};
    }
    uint64_t network = 0;
    std::memcpy(&network, in6.sin6_addr.s6_addr, sizeof network);
    return {Kind::kIpv6, network};
  }
  return {Kind::kIpv4, reinterpret_cast<const sockaddr_in&>(address).sin_addr.s_addr};
}

bool Source::OverRate(const SourceLimits& limits, int64_t now_ns) const {
  return resets.InDebt(limits.resets, now_ns) || pings.InDebt(limits.pings, now_ns) ||
         settings.InDebt(limits.settings, now_ns) || handshake_failures.InDebt(limits.handshake_failures, now_ns);
}

std::shared_ptr<Source> SourceTable::Find(const SourceKey& key, int64_t now_ns) {
  MutexLock lock(mutex_);
  if (now_ns >= next_sweep_ns_) {
    Sweep(now_ns - kMemoryNs);
    next_sweep_ns_ = now_ns + kMemoryNs / 4;
  }
  // Connections are fewer than this, so sources without one are many: forget all of those.
  if (sources_.size() >= kSourcesMax) Sweep(now_ns);
  std::shared_ptr<Source>& source = sources_[key];
  if (!source) source = std::make_shared<Source>();
  source->last_seen_ns.store(now_ns, std::memory_order_relaxed);
  return source;
}

size_t SourceTable::size() const {
  MutexLock lock(mutex_);
  return sources_.size();
}

void SourceTable::Sweep(int64_t older_than_ns) {
  absl::erase_if(sources_, [older_than_ns](const auto& entry) {
    const Source& source = *entry.second;
    return source.connections.load(std::memory_order_relaxed) == 0 &&
           source.last_seen_ns.load(std::memory_order_relaxed) <= older_than_ns;
  });
}

}  // namespace meshca::rpc
