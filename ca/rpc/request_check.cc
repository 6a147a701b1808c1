#include "ca/rpc/request_check.h"

#include <algorithm>
#include <array>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"

namespace meshca::rpc {
namespace {

// What a byte may be part of. A table, because every byte of every header comes by here.
enum ByteClass : uint8_t {
  kToken = 1,          // RFC 9110 §5.6.2
  kNameForbidden = 2,  // RFC 9113 §8.2.1: makes the request malformed where it is in a field's name
  kControl = 4,        // 0x00-0x1f and 0x7f
  kScheme = 8,         // RFC 3986 §3.1, behind the first letter
};

constexpr std::array<uint8_t, 256> MakeTable() {
  std::array<uint8_t, 256> table = {};
  for (int c = 0; c < 256; ++c) {
    const bool upper = c >= 'A' && c <= 'Z';
    const bool letter = upper || (c >= 'a' && c <= 'z');
    const bool digit = c >= '0' && c <= '9';
    uint8_t bits = 0;
    if (letter || digit) bits |= kToken | kScheme;
    for (char mark : {'!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~'}) {
      if (c == mark) bits |= kToken;
    }
    if (c == '+' || c == '-' || c == '.') bits |= kScheme;
    if (c < 0x20 || c == 0x7f) bits |= kControl;
    if (c <= 0x20 || upper || c >= 0x7f || c == ':') bits |= kNameForbidden;
    table[c] = bits;
  }
  return table;
}
constexpr std::array<uint8_t, 256> kBytes = MakeTable();

bool Every(absl::string_view text, ByteClass wanted) {
  return std::all_of(text.begin(), text.end(), [wanted](char c) { return kBytes[static_cast<uint8_t>(c)] & wanted; });
}
bool Any(absl::string_view text, ByteClass wanted) {
  return std::any_of(text.begin(), text.end(), [wanted](char c) { return kBytes[static_cast<uint8_t>(c)] & wanted; });
}

// It could end a line of HTTP/1.1, or a string of C, for whoever passes the request on.
bool EndsALine(absl::string_view value) {
  return std::any_of(value.begin(), value.end(), [](char c) { return c == '\0' || c == '\r' || c == '\n'; });
}

bool IsBlank(char c) { return c == ' ' || c == '\t'; }

bool HasOddValue(absl::string_view value) {
  if (value.empty()) return false;
  if (IsBlank(value.front()) || IsBlank(value.back())) return true;
  return std::any_of(value.begin(), value.end(),
                     [](char c) { return (kBytes[static_cast<uint8_t>(c)] & kControl) && c != '\t'; });
}

// §8.2.2: fields of one HTTP/1.1 connection.
bool IsConnectionSpecific(absl::string_view name) {
  return name == "connection" || name == "keep-alive" || name == "proxy-connection" || name == "transfer-encoding" ||
         name == "upgrade";
}

}  // namespace

bool RequestCheck::Once(Field field) {
  if (Has(field)) return false;
  seen_ |= field;
  return true;
}

RequestCheck::Verdict RequestCheck::OnHeader(absl::string_view name, absl::string_view value) {
  if (name.empty()) return Verdict::kMalformed;
  if (name[0] == ':') return Pseudo(name, value) ? Verdict::kTake : Verdict::kMalformed;
  seen_ |= kRegular;
  return Regular(name, value);
}

RequestCheck::Verdict RequestCheck::OnTrailer(absl::string_view name, absl::string_view value) {
  if (name.empty() || name[0] == ':' || name == "content-length") return Verdict::kMalformed;
  return Regular(name, value);
}

bool RequestCheck::Pseudo(absl::string_view name, absl::string_view value) {
  if (Has(kRegular)) return false;
  if (name == ":path") {
    if (value == "*") seen_ |= kAsteriskPath;
    if (absl::StartsWith(value, "/")) seen_ |= kSlashPath;
    return Once(kPath) && !value.empty() && !Any(value, kControl) && !absl::StrContains(value, ' ');
  }
  if (name == ":method") {
    if (value == "CONNECT") seen_ |= kConnect;
    if (value == "OPTIONS") seen_ |= kOptions;
    return Once(kMethod) && !value.empty() && Every(value, kToken);
  }
  if (name == ":scheme") {
    if (absl::EqualsIgnoreCase(value, "http") || absl::EqualsIgnoreCase(value, "https")) seen_ |= kHttp;
    return Once(Field::kScheme) && !value.empty() && absl::ascii_isalpha(value[0]) && Every(value, ByteClass::kScheme);
  }
  if (name == ":authority") return Once(kAuthority) && !Any(value, kControl);
  return false;
}

RequestCheck::Verdict RequestCheck::Regular(absl::string_view name, absl::string_view value) {
  if (Any(name, kNameForbidden) || EndsALine(value)) return Verdict::kMalformed;
  if (!Every(name, kToken)) return Verdict::kIgnore;
  if (IsConnectionSpecific(name)) return Verdict::kMalformed;
  if (name == "te") return absl::EqualsIgnoreCase(value, "trailers") ? Verdict::kTake : Verdict::kMalformed;
  if (name == "content-length") return ContentLength(value) ? Verdict::kTake : Verdict::kMalformed;
  if (name == "host" && !Once(kHost)) return Verdict::kMalformed;
  return HasOddValue(value) ? Verdict::kIgnore : Verdict::kTake;
}

bool RequestCheck::ContentLength(absl::string_view value) {
  return Once(kContentLength) && !value.empty() && std::all_of(value.begin(), value.end(), absl::ascii_isdigit) &&
         absl::SimpleAtoi(value, &left_);
}

bool RequestCheck::OnHeadersEnd(bool ends) {
  if (!Has(kMethod)) return false;
  if (Has(kConnect)) {
    left_ = -1;  // What follows is a tunnel's, not a body.
    return Has(kAuthority) && !Has(Field::kScheme) && !Has(kPath);
  }
  if (!Has(Field::kScheme) || !Has(kPath)) return false;
  if (Has(kHttp) && !Has(kSlashPath) && !(Has(kOptions) && Has(kAsteriskPath))) return false;
  return !ends || OnEnd();
}

bool RequestCheck::OnTrailersEnd(bool ends) { return ends && OnEnd(); }

bool RequestCheck::OnData(size_t bytes) {
  if (left_ < 0) return true;
  if (static_cast<uint64_t>(left_) < bytes) return false;
  left_ -= static_cast<int64_t>(bytes);
  return true;
}

bool RequestCheck::OnEnd() const { return left_ <= 0; }

}  // namespace meshca::rpc
