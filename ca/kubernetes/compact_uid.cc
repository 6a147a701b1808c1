#include "ca/kubernetes/compact_uid.h"

namespace meshca::kubernetes {
namespace {

constexpr size_t kTextBytes = 36;
constexpr char kHexDigits[] = "0123456789abcdef";

bool IsDashAt(size_t at) { return at == 8 || at == 13 || at == 18 || at == 23; }

int ValueOfHexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

}  // namespace

std::optional<CompactUid> CompactUid::Parse(absl::string_view text) {
  if (text.size() != kTextBytes) return std::nullopt;
  CompactUid uid;
  size_t digits = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    if (IsDashAt(at)) {
      if (text[at] != '-') return std::nullopt;
      continue;
    }
    const int value = ValueOfHexDigit(text[at]);
    if (value < 0) return std::nullopt;
    uid.bytes[digits / 2] |= static_cast<uint8_t>(digits % 2 == 0 ? value << 4 : value);
    ++digits;
  }
  return uid;
}

std::string CompactUid::Text() const {
  std::string text;
  text.reserve(kTextBytes);
  for (const uint8_t byte : bytes) {
    if (IsDashAt(text.size())) text += '-';
    text += kHexDigits[byte >> 4];
    text += kHexDigits[byte & 15];
  }
  return text;
}

}  // namespace meshca::kubernetes
