#include "ca/rpc/payload.h"

#include <cstdint>
#include <limits>

#include "ca/base/check.h"

namespace meshca::rpc {

Payload Frame(absl::string_view message) {
  MESHCA_CHECK(message.size() <= std::numeric_limits<uint32_t>::max());
  const auto size = static_cast<uint32_t>(message.size());
  auto bytes = std::make_shared<std::string>();
  bytes->reserve(kFramePrefixBytes + message.size());
  bytes->push_back(0);
  for (int shift = 24; shift >= 0; shift -= 8) bytes->push_back(static_cast<char>(size >> shift));
  bytes->append(message.data(), message.size());
  return bytes;
}

absl::string_view MessageOf(const Payload& payload) { return absl::string_view(*payload).substr(kFramePrefixBytes); }

}  // namespace meshca::rpc
