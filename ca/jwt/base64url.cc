#include "ca/jwt/base64url.h"

#include <array>
#include <cstddef>
#include <cstdint>

namespace meshca {
namespace {

constexpr uint8_t kNone = 0x80;  // above every value of six bits

constexpr std::array<uint8_t, 256> MakeValues() {
  std::array<uint8_t, 256> values = {};
  for (uint8_t& value : values) value = kNone;
  constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  for (uint8_t i = 0; i < 64; ++i) values[static_cast<uint8_t>(kAlphabet[i])] = i;
  return values;
}
constexpr std::array<uint8_t, 256> kValues = MakeValues();

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
  const auto take = [&](size_t at) -> uint32_t {
    const uint8_t value = kValues[static_cast<uint8_t>(text[at])];
    seen |= value;
    return value;
  };
  for (size_t at = 0; at < whole; at += 4) {
    const uint32_t bits = take(at) << 18 | take(at + 1) << 12 | take(at + 2) << 6 | take(at + 3);
    *out++ = static_cast<char>(bits >> 16);
    *out++ = static_cast<char>(bits >> 8);
    *out++ = static_cast<char>(bits);
  }
  if (rest != 0) {
    const uint32_t bits = take(whole) << 18 | take(whole + 1) << 12 | (rest == 3 ? take(whole + 2) << 6 : 0);
    *out++ = static_cast<char>(bits >> 16);
    if (rest == 3) *out++ = static_cast<char>(bits >> 8);
    // What an encoder fills up with.
    if ((bits & (rest == 3 ? 0xff : 0xffff)) != 0) return std::nullopt;
  }
  if ((seen & kNone) != 0) return std::nullopt;
  return bytes;
}

}  // namespace meshca
