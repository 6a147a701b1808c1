#include "ca/rpc/protobuf_payload.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "ca/base/check.h"

namespace meshca::rpc {

Payload Frame(const google::protobuf::MessageLite& message) { return Frame(message, {}); }

Payload Frame(const google::protobuf::MessageLite& message, absl::string_view tail) {
  const size_t head = message.ByteSizeLong();
  const size_t size = head + tail.size();
  // Protobuf's own limit.
  MESHCA_CHECK(size <= static_cast<size_t>(std::numeric_limits<int32_t>::max()));
  auto bytes = std::make_shared<std::string>();
  bytes->resize(kFramePrefixBytes + size);
  auto* out = reinterpret_cast<uint8_t*>(bytes->data());
  for (int i = 0; i < 4; ++i) out[1 + i] = static_cast<uint8_t>(size >> (24 - 8 * i));
  message.SerializeWithCachedSizesToArray(out + kFramePrefixBytes);
  std::copy(tail.begin(), tail.end(), bytes->begin() + static_cast<std::ptrdiff_t>(kFramePrefixBytes + head));
  return bytes;
}

absl::Status ParseMessage(absl::string_view bytes, google::protobuf::MessageLite& message) {
  if (bytes.size() <= static_cast<size_t>(std::numeric_limits<int32_t>::max()) &&
      message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat("the request is not a ", message.GetTypeName(), " message"));
}

}  // namespace meshca::rpc
