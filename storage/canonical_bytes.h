// Encodes a list of values into one byte string without ambiguity, as the input of hashes and MACs.
#ifndef MESHCA_STORAGE_CANONICAL_BYTES_H_
#define MESHCA_STORAGE_CANONICAL_BYTES_H_

#include <cstdint>
#include <limits>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace meshca::storage {

// How rows hold a time: microseconds since 1970 UTC, rounded down; the smallest and largest int64 stand for
// InfinitePast and InfiniteFuture.
inline int64_t MicrosOf(absl::Time time) {
  if (time == absl::InfiniteFuture()) return std::numeric_limits<int64_t>::max();
  if (time == absl::InfinitePast()) return std::numeric_limits<int64_t>::min();
  return absl::ToUnixMicros(time);
}
inline absl::Time TimeOfMicros(int64_t micros) {
  if (micros == std::numeric_limits<int64_t>::max()) return absl::InfiniteFuture();
  if (micros == std::numeric_limits<int64_t>::min()) return absl::InfinitePast();
  return absl::FromUnixMicros(micros);
}

// A number becomes 8 bytes, big-endian; a text becomes its length and its bytes. Never change the list of values of an
// existing kind of row: stored MACs and hashes are made from it.
class CanonicalBytes {
 public:
  CanonicalBytes& Add(uint64_t value) {
    for (int shift = 56; shift >= 0; shift -= 8) bytes_.push_back(static_cast<char>(value >> shift));
    return *this;
  }
  CanonicalBytes& Add(absl::string_view text) {
    Add(static_cast<uint64_t>(text.size()));
    bytes_.append(text.data(), text.size());
    return *this;
  }
  CanonicalBytes& Add(absl::Time time) { return Add(static_cast<uint64_t>(MicrosOf(time))); }
  template <typename Strings>
  CanonicalBytes& AddAll(const Strings& strings) {
    Add(static_cast<uint64_t>(strings.size()));
    for (const auto& text : strings) Add(absl::string_view(text));
    return *this;
  }

  const std::string& bytes() const { return bytes_; }
  std::string Release() && { return std::move(bytes_); }

 private:
  std::string bytes_;
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_CANONICAL_BYTES_H_
