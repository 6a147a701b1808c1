#include "ca/jwt/base64url.h"

#include <array>
#include <cstddef>
#include <cstdint>

namespace meshca {
namespace {

constexpr uint32_t kNone = 1u << 31;  // above every group of four values

using Values = std::array<uint32_t, 256>;

// The values of all bytes, where they stand in a group of four.
constexpr Values MakeValues(int shift) {
  Values values = {};
  for (uint32_t& value : values) value = kNone;
  constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  for (uint32_t i = 0; i < 64; ++i) values[static_cast<uint8_t>(kAlphabet[i])] = i << shift;
  return values;
}
constexpr std::array<Values, 4> kValues = {MakeValues(18), MakeValues(12), MakeValues(6), MakeValues(0)};

}  // namespace

// Abseil's decoder takes padding, white space and stray bits at the end, and encoding again to find all three costs a
// token as much as the decoding.
std::optional<std::string> Base64UrlDecode(absl::string_view text) {
  const size_t whole = text.size() / 4 * 4;
  const size_t rest = text.size() - whole;
  if (rest == 1) return std::nullopt;
  std::string bytes(text.size() * 3 / 4, '\0');
  char* out = bytes.data();
  uint32_t seen = 0;
  const auto take = [&](size_t at) { return kValues[at % 4][static_cast<uint8_t>(text[at])]; };
  for (size_t at = 0; at < whole; at += 4) {
    const uint32_t bits = take(at) | take(at + 1) | take(at + 2) | take(at + 3);
    seen |= bits;
    *out++ = static_cast<char>(bits >> 16);
    *out++ = static_cast<char>(bits >> 8);
    *out++ = static_cast<char>(bits);
  }
  if (rest != 0) {
    const uint32_t bits = take(whole) | take(whole + 1) | (rest == 3 ? take(whole + 2) : 0);
    seen |= bits;
    *out++ = static_cast<char>(bits >> 16);
    if (rest == 3) *out++ = static_cast<char>(bits >> 8);
    // What an encoder fills up with.
    if ((bits & (rest == 3 ? 0xff : 0xffff)) != 0) return std::nullopt;
  }
  if ((seen & kNone) != 0) return std::nullopt;
  return bytes;
}

}  // namespace meshca
