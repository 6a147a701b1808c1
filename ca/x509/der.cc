#include "ca/x509/der.h"

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"
#include "absl/time/civil_time.h"

namespace meshca::der {

bool Reader::Next(Element& out) {
  if (rest_.size() < 2) return false;
  const auto byte = [this](size_t i) { return static_cast<uint8_t>(rest_[i]); };
  if ((byte(0) & 0x1f) == 0x1f) return false;  // tag numbers above 30 do not occur in X.509
  size_t size = byte(1);
  size_t header = 2;
  if (size >= 0x80) {
    const size_t count = size & 0x7f;
    // 0x80 is BER's indefinite length. Four length bytes would be more than any limit here allows.
    if (count == 0 || count > 3 || rest_.size() < 2 + count) return false;
    size = 0;
    for (size_t i = 0; i < count; ++i) size = size << 8 | byte(2 + i);
    if (size < 0x80 || byte(2) == 0) return false;  // DER takes the shortest form
    header += count;
  }
  if (rest_.size() - header < size) return false;
  out.tag = byte(0);
  out.content = rest_.substr(header, size);
  out.whole = rest_.substr(0, header + size);
  rest_.remove_prefix(header + size);
  return true;
}

bool Reader::Read(uint8_t tag, Element& out) {
  return !rest_.empty() && static_cast<uint8_t>(rest_[0]) == tag && Next(out);
}

bool Reader::Read(uint8_t tag, absl::string_view& content) {
  Element element;
  if (!Read(tag, element)) return false;
  content = element.content;
  return true;
}

bool IsOid(absl::string_view content) {
  if (content.empty() || (content.back() & 0x80) != 0) return false;
  bool first_of_arc = true;
  for (const char c : content) {
    const uint8_t b = static_cast<uint8_t>(c);
    if (first_of_arc && b == 0x80) return false;
    first_of_arc = (b & 0x80) == 0;
  }
  return true;
}

bool IsInteger(absl::string_view content) {
  if (content.empty()) return false;
  if (content.size() == 1) return true;
  const uint8_t first = static_cast<uint8_t>(content[0]);
  const bool second_has_sign = (content[1] & 0x80) != 0;
  return !(first == 0x00 && !second_has_sign) && !(first == 0xff && second_has_sign);
}

bool IsPositiveInteger(absl::string_view content) {
  if (!IsInteger(content) || (content[0] & 0x80) != 0) return false;
  return content.size() > 1 || content[0] != 0;
}

bool IsPrintableAscii(absl::string_view text) {
  for (const char c : text) {
    if (c < 0x20 || c > 0x7e) return false;
  }
  return true;
}

bool WholeBytes(absl::string_view bit_string, absl::string_view& bytes) {
  if (bit_string.empty() || bit_string[0] != 0) return false;
  bytes = bit_string.substr(1);
  return true;
}

std::optional<uint16_t> NamedBits(absl::string_view bit_string) {
  if (bit_string.empty()) return std::nullopt;
  const uint8_t unused = static_cast<uint8_t>(bit_string[0]);
  const absl::string_view bytes = bit_string.substr(1);
  if (bytes.empty()) return unused == 0 ? std::optional<uint16_t>(0) : std::nullopt;
  const uint8_t last = static_cast<uint8_t>(bytes.back());
  // DER: trailing zero bits are cut off, so the last bit that is used is a one.
  if (unused > 7 || bytes.size() > 2 || (last & ((1 << unused) - 1)) != 0 || (last >> unused & 1) == 0) {
    return std::nullopt;
  }
  uint16_t bits = 0;
  for (size_t i = 0; i < bytes.size() * 8; ++i) {
    if (static_cast<uint8_t>(bytes[i / 8]) >> (7 - i % 8) & 1) bits |= static_cast<uint16_t>(1 << i);
  }
  return bits;
}

std::optional<absl::Time> ParseTime(const Element& time) {
  const size_t year_digits = time.tag == kUtcTime ? 2 : 4;
  if (time.tag != kUtcTime && time.tag != kGeneralizedTime) return std::nullopt;
  if (time.content.size() != year_digits + 11 || time.content.back() != 'Z') return std::nullopt;
  for (const char c : time.content.substr(0, year_digits + 10)) {
    if (c < '0' || c > '9') return std::nullopt;
  }
  size_t at = 0;
  const auto number = [&](size_t digits) {
    int value = 0;
    for (const size_t end = at + digits; at < end; ++at) value = value * 10 + (time.content[at] - '0');
    return value;
  };
  int year = number(year_digits);
  if (year_digits == 2) year += year < 50 ? 2000 : 1900;
  const int month = number(2), day = number(2), hour = number(2), minute = number(2), second = number(2);
  const absl::CivilSecond civil(year, month, day, hour, minute, second);
  // CivilSecond carries 31 June over into July; an encoder that wrote it was wrong.
  if (civil.month() != month || civil.day() != day || civil.hour() != hour || civil.minute() != minute ||
      civil.second() != second) {
    return std::nullopt;
  }
  return absl::FromCivil(civil, absl::UTCTimeZone());
}

size_t HeaderSize(size_t size) {
  if (size < 0x80) return 2;
  if (size < 0x100) return 3;
  return size < 0x10000 ? 4 : 5;
}

void AppendHeader(uint8_t tag, size_t size, std::string& out) {
  out.push_back(static_cast<char>(tag));
  const size_t count = HeaderSize(size) - 2;
  if (count > 0) out.push_back(static_cast<char>(0x80 | count));
  for (size_t i = std::max<size_t>(count, 1); i-- > 0;) out.push_back(static_cast<char>(size >> (8 * i)));
}

void AppendElement(uint8_t tag, absl::string_view content, std::string& out) {
  AppendHeader(tag, content.size(), out);
  out.append(content.data(), content.size());
}

std::string MakeElement(uint8_t tag, absl::string_view content) {
  std::string out;
  out.reserve(HeaderSize(content.size()) + content.size());
  AppendElement(tag, content, out);
  return out;
}

void AppendTime(absl::Time time, std::string& out) {
  const absl::CivilSecond civil = absl::ToCivilSecond(time, absl::UTCTimeZone());
  std::array<char, 16> text;
  char* at = text.data();
  const auto two = [&at](int value) {
    *at++ = static_cast<char>('0' + value / 10);
    *at++ = static_cast<char>('0' + value % 10);
  };
  const int year = static_cast<int>(civil.year());
  const bool utc_time = year < 2050;
  if (!utc_time) two(year / 100);
  two(year % 100);
  two(civil.month());
  two(civil.day());
  two(civil.hour());
  two(civil.minute());
  two(civil.second());
  *at++ = 'Z';
  AppendElement(utc_time ? kUtcTime : kGeneralizedTime, absl::string_view(text.data(), at - text.data()), out);
}

std::string OidText(absl::string_view content) {
  if (!IsOid(content)) return "?";
  std::string text;
  uint64_t arc = 0;
  for (const char c : content) {
    if (arc >> 57 != 0) return "?";
    arc = arc << 7 | (static_cast<uint8_t>(c) & 0x7f);
    if ((c & 0x80) != 0) continue;
    if (text.empty()) {
      const uint64_t first = arc < 80 ? arc / 40 : 2;
      absl::StrAppend(&text, first, ".", arc - first * 40);
    } else {
      absl::StrAppend(&text, ".", arc);
    }
    arc = 0;
  }
  return text;
}

}  // namespace meshca::der
