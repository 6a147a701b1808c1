#include "test/bench/request_source.h"

#include <netinet/in.h>

#include <cstdint>

namespace meshca::bench {

std::string GrpcFrame(absl::string_view message) {
  constexpr size_t kFrameHeader = 5;  // one byte of flags, four of length
  std::string framed(kFrameHeader, '\0');
  const uint32_t size = htonl(static_cast<uint32_t>(message.size()));
  framed.replace(1, sizeof(size), reinterpret_cast<const char*>(&size), sizeof(size));
  framed.append(message.data(), message.size());
  return framed;
}

ReadyRequests::ReadyRequests(std::span<const std::string> messages) {
  framed_.reserve(messages.size());
  for (const std::string& message : messages) framed_.push_back(GrpcFrame(message));
}

}  // namespace meshca::bench
