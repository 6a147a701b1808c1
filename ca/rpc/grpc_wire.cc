#include "ca/rpc/grpc_wire.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ca/base/status.h"

namespace meshca::rpc {
namespace {

// Protobuf's wire format by hand: two nested messages of five fields do not justify linking their descriptors.
void AppendVarint(std::string& out, uint64_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}

void AppendBytesField(std::string& out, int number, absl::string_view bytes) {
  AppendVarint(out, static_cast<uint64_t>(number) << 3 | 2);
  AppendVarint(out, bytes.size());
  out.append(bytes.data(), bytes.size());
}

bool TravelsAsItIs(unsigned char c) { return c >= 0x20 && c <= 0x7e && c != '%'; }

constexpr size_t kMessageBytesMax = 3072;
constexpr absl::string_view kShortened = " (shortened)";

}  // namespace

bool IsGrpcContentType(absl::string_view value) {
  constexpr absl::string_view kPrefix = "application/grpc";
  if (!absl::StartsWithIgnoreCase(value, kPrefix)) return false;
  value.remove_prefix(kPrefix.size());
  if (absl::StartsWithIgnoreCase(value, "+proto")) value.remove_prefix(6);
  return value.empty() || value[0] == ';' || value[0] == ' ';
}

std::optional<absl::Duration> ParseTimeout(absl::string_view value) {
  if (value.size() < 2 || value.size() > 9) return std::nullopt;
  int64_t amount = 0;
  for (char c : value.substr(0, value.size() - 1)) {
    if (c < '0' || c > '9') return std::nullopt;
    amount = amount * 10 + (c - '0');
  }
  switch (value.back()) {
    case 'H': return absl::Hours(amount);
    case 'M': return absl::Minutes(amount);
    case 'S': return absl::Seconds(amount);
    case 'm': return absl::Milliseconds(amount);
    case 'u': return absl::Microseconds(amount);
    case 'n': return absl::Nanoseconds(amount);
    default: return std::nullopt;
  }
}

std::string PercentEncode(absl::string_view message) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  out.reserve(message.size());
  for (char raw : message) {
    const auto c = static_cast<unsigned char>(raw);
    if (TravelsAsItIs(c)) {
      out.push_back(raw);
    } else {
      out.push_back('%');
      out.push_back(kHex[c >> 4]);
      out.push_back(kHex[c & 15]);
    }
  }
  return out;
}

std::string BoundedMessage(absl::string_view message) {
  size_t encoded = 0;
  size_t kept = 0;  // whole characters that leave room for the note
  for (size_t i = 0; i < message.size(); ++i) {
    const auto c = static_cast<unsigned char>(message[i]);
    const bool begins_a_character = (c & 0xC0) != 0x80;
    if (begins_a_character && encoded + kShortened.size() <= kMessageBytesMax) kept = i;
    encoded += TravelsAsItIs(c) ? 1 : 3;
    if (encoded > kMessageBytesMax) return absl::StrCat(message.substr(0, kept), kShortened);
  }
  return std::string(message);
}

bool DecodeBinaryValue(absl::string_view value, std::string& bytes) {
  std::string decoded;
  if (!absl::Base64Unescape(value, &decoded)) return false;
  bytes = std::move(decoded);
  return true;
}

std::string EncodeBinaryValue(absl::string_view bytes) {
  std::string encoded = absl::Base64Escape(bytes);
  encoded.erase(std::find(encoded.begin(), encoded.end(), '='), encoded.end());
  return encoded;
}

std::string EncodeStatusDetails(const absl::Status& status, absl::string_view message) {
  const std::string reason = ReasonOf(status);
  if (reason.empty()) return {};
  std::string info;
  AppendBytesField(info, 1, reason);
  AppendBytesField(info, 2, "meshca");
  std::string any;
  AppendBytesField(any, 1, "type.googleapis.com/google.rpc.ErrorInfo");
  AppendBytesField(any, 2, info);
  std::string details;
  AppendVarint(details, 1 << 3);
  AppendVarint(details, static_cast<uint64_t>(status.raw_code()));
  AppendBytesField(details, 2, message);
  AppendBytesField(details, 3, any);
  return details;
}

}  // namespace meshca::rpc
