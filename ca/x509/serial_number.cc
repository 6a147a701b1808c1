#include "ca/x509/serial_number.h"

#include <algorithm>
#include <span>

#include "absl/strings/str_cat.h"
#include "ca/x509/encoding.h"

namespace meshca {

SerialNumber SerialNumber::Make(absl::Time now, EntropySource& entropy) {
  const int64_t halves = std::clamp<int64_t>(absl::ToUnixSeconds(now) / 2, 0x01000000, 0x7fffffff);
  SerialNumber serial;
  for (size_t i = 0; i < 4; ++i) serial.bytes_[i] = static_cast<uint8_t>(halves >> (24 - 8 * i));
  entropy.Fill(std::span<uint8_t>(serial.bytes_).subspan(4));
  return serial;
}

absl::StatusOr<SerialNumber> SerialNumber::FromHex(absl::string_view hex) {
  absl::StatusOr<std::string> bytes = HexDecode(hex);
  if (!bytes.ok() || bytes->size() != kBytes) {
    return absl::InvalidArgumentError(absl::StrCat("serial number: must be ", 2 * kBytes, " hex digits"));
  }
  return FromBytes(*bytes);
}

absl::StatusOr<SerialNumber> SerialNumber::FromBytes(absl::string_view bytes) {
  if (bytes.size() != kBytes) {
    return absl::InvalidArgumentError(absl::StrCat("serial number: must be ", kBytes, " bytes"));
  }
  if (bytes[0] == 0 || (bytes[0] & 0x80) != 0) {
    return absl::InvalidArgumentError("serial number: first byte is outside 01-7f");
  }
  SerialNumber serial;
  std::copy(bytes.begin(), bytes.end(), serial.bytes_.begin());
  return serial;
}

std::string SerialNumber::ToHex() const { return HexLower(bytes()); }

}  // namespace meshca
