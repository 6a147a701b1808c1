#include "ca/authn/selector_values.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"

namespace meshca {
namespace {

constexpr size_t kNameBytesMax = 256;

}  // namespace

std::string NumberFault(absl::string_view value) {
  uint32_t number = 0;
  // Decimal digits alone: "+5", " 5" and "05" would be second spellings of one number.
  if (!value.empty() && std::all_of(value.begin(), value.end(), absl::ascii_isdigit) &&
      (value.size() == 1 || value[0] != '0') && absl::SimpleAtoi(value, &number)) {
    return "";
  }
  return "expects a number from 0 to 4294967295";
}

std::string NameFault(absl::string_view value) {
  const auto allowed = [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte > ' ' && byte != 0x7f && c != ':' && c != ',' && c != '/';  // what /etc/passwd and group cannot hold
  };
  if (value.empty() || value.size() > kNameBytesMax) return "expects a name of 1-256 bytes";
  if (!std::all_of(value.begin(), value.end(), allowed))
    return "the name has a byte that no name of a user or group has";
  if (absl::ascii_isdigit(value[0]) && std::all_of(value.begin(), value.end(), absl::ascii_isdigit)) {
    return "the name is a number; unix:uid:N and unix:gid:N take numbers";
  }
  return "";
}

}  // namespace meshca
