// The serial number of a certificate meshca signs (RFC 5280 §4.1.2.2).
#ifndef MESHCA_CA_X509_SERIAL_NUMBER_H_
#define MESHCA_CA_X509_SERIAL_NUMBER_H_

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/base/entropy.h"

namespace meshca {

// 16 bytes, big-endian: 6 of time, then 10 random (80 bits). The time counts 65536ths of two seconds (30 us) since
// 1970, so that a database index grows at one end even within a second, when thousands are signed: a coarser clock
// spreads each batch over a hundred pages. Its first half is kept within [0x01000000, 0x7fffffff]: the first byte is
// never zero and never has its top bit, so the DER INTEGER is positive and minimal with exactly these bytes (until the
// year 2106). A default-constructed one is all zero: a place to assign to. Immutable value, thread-safe.
class SerialNumber {
 public:
  static constexpr size_t kBytes = 16;

  SerialNumber() = default;
  static SerialNumber Make(absl::Time now, EntropySource& entropy);
  // Contiguous hex, 32 digits of either case. InvalidArgument otherwise.
  static absl::StatusOr<SerialNumber> FromHex(absl::string_view hex);
  // 16 raw bytes, as a database row holds them. InvalidArgument: another size, or a first byte outside [01, 7f].
  static absl::StatusOr<SerialNumber> FromBytes(absl::string_view bytes);

  // Contiguous lower-case hex, 32 digits.
  std::string ToHex() const;
  absl::string_view bytes() const { return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()}; }
  bool empty() const { return bytes_[0] == 0; }

  friend bool operator==(const SerialNumber&, const SerialNumber&) = default;
  friend std::strong_ordering operator<=>(const SerialNumber& a, const SerialNumber& b) {
    return std::memcmp(a.bytes_.data(), b.bytes_.data(), kBytes) <=> 0;
  }
  template <typename H>
  friend H AbslHashValue(H h, const SerialNumber& serial) {
    return H::combine(std::move(h), serial.bytes_);
  }

 private:
  std::array<uint8_t, kBytes> bytes_ = {};
};

}  // namespace meshca

#endif  // MESHCA_CA_X509_SERIAL_NUMBER_H_
