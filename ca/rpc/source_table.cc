#include "ca/rpc/source_table.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/sha.h>

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace meshca::rpc {
namespace {

constexpr uint64_t kLoopbackNetwork = 127;

SourceKey OfIpv4(uint32_t network_order) {
  if (ntohl(network_order) >> 24 == kLoopbackNetwork) return {SourceKey::Kind::kLoopback, 0};
  return {SourceKey::Kind::kIpv4, network_order};
}

std::string NameOf(const SourceKey& key, absl::string_view identity) {
  char text[INET6_ADDRSTRLEN] = "?";
  switch (key.kind) {
    case SourceKey::Kind::kIpv4: {
      const auto address = static_cast<uint32_t>(key.value);
      ::inet_ntop(AF_INET, &address, text, sizeof text);
      return text;
    }
    case SourceKey::Kind::kIpv6: {
      in6_addr address{};
      std::memcpy(address.s6_addr, &key.value, sizeof key.value);
      ::inet_ntop(AF_INET6, &address, text, sizeof text);
      return absl::StrCat(text, "/64");
    }
    case SourceKey::Kind::kLoopback: return "loopback";
    case SourceKey::Kind::kUid: return absl::StrCat("uid ", key.value);
    case SourceKey::Kind::kPrivilegedUid: return absl::StrCat("uid ", key.value, " (privileged)");
    case SourceKey::Kind::kIdentity: return std::string(identity);
  }
  return text;
}

}  // namespace

SourceKey SourceKey::OfAddress(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET6) {
    const auto& in6 = reinterpret_cast<const sockaddr_in6&>(address);
    if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) {
      uint32_t v4 = 0;
      std::memcpy(&v4, in6.sin6_addr.s6_addr + 12, sizeof v4);
      return OfIpv4(v4);
    }
    if (IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr)) return {Kind::kLoopback, 0};
    uint64_t network = 0;
    std::memcpy(&network, in6.sin6_addr.s6_addr, sizeof network);
    return {Kind::kIpv6, network};
  }
  return OfIpv4(reinterpret_cast<const sockaddr_in&>(address).sin_addr.s_addr);
}

SourceKey SourceKey::OfIdentity(absl::string_view name) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(name.data()), name.size(), digest);
  SourceKey key{Kind::kIdentity, 0};
  std::memcpy(&key.value, digest, sizeof key.value);
  return key;
}

bool Source::OverRate(const SourceLimits& limits, int64_t now_ns) const {
  return resets.InDebt(limits.resets, now_ns) || pings.InDebt(limits.pings, now_ns) ||
         settings.InDebt(limits.settings, now_ns);
}

std::shared_ptr<Source> SourceTable::Find(const SourceKey& key, int64_t now_ns, absl::string_view identity) {
  MutexLock lock(mutex_);
  if (now_ns >= next_sweep_ns_) {
    Sweep(now_ns - kMemoryNs);
    next_sweep_ns_ = now_ns + kMemoryNs / 4;
  }
  // A connection counts with two sources at most, its address and its identity, so those with one are fewer than this,
  // and those without are many: forget all of those.
  if (sources_.size() >= kSourcesMax) Sweep(now_ns);
  std::shared_ptr<Source>& source = sources_[key];
  if (!source) source = std::make_shared<Source>(key, NameOf(key, identity));
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
           source.certified.load(std::memory_order_relaxed) == 0 &&
           source.last_seen_ns.load(std::memory_order_relaxed) <= older_than_ns;
  });
}

}  // namespace meshca::rpc
