#include "ca/x509/serial_number.h"

#include <algorithm>
#include <span>

#include "absl/strings/str_cat.h"
#include "ca/x509/encoding.h"

namespace meshca {
namespace {

constexpr size_t kTimeBytes = 6;
constexpr int64_t kMicrosPerPair = 2'000'000;
constexpr int64_t kMicrosMax = 0x80000000 * kMicrosPerPair;

}  // namespace

SerialNumber SerialNumber::Make(absl::Time now, EntropySource& entropy) {
  // Microseconds reach 2^63 in the year 294247: far outside the clamp, but a clock may say anything.
  const int64_t micros = std::clamp<int64_t>(absl::ToUnixMicros(now), 0, kMicrosMax);
  const int64_t pairs = std::clamp<int64_t>(micros / kMicrosPerPair, 0x01000000, 0x7fffffff);
  const int64_t ticks = pairs << 16 | (micros % kMicrosPerPair << 16) / kMicrosPerPair;
  SerialNumber serial;
  for (size_t i = 0; i < kTimeBytes; ++i) serial.bytes_[i] = static_cast<uint8_t>(ticks >> (40 - 8 * i));
  entropy.Fill(std::span<uint8_t>(serial.bytes_).subspan(kTimeBytes));
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
