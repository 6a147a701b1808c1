#include "ca/identity/object_name.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/ascii.h"

namespace meshca {
namespace {

constexpr size_t kSubdomainBytesMax = 253;
constexpr size_t kLabelBytesMax = 63;

bool IsLetterOrDigit(char character) {
  const auto byte = static_cast<unsigned char>(character);
  return absl::ascii_islower(byte) || absl::ascii_isdigit(byte);
}

// Of any length: Kubernetes bounds that of a subdomain and not those of its labels.
bool IsLabel(absl::string_view text) {
  return !text.empty() && IsLetterOrDigit(text.front()) && IsLetterOrDigit(text.back()) &&
         std::all_of(text.begin(), text.end(),
                     [](char character) { return character == '-' || IsLetterOrDigit(character); });
}

}  // namespace

bool IsObjectName(absl::string_view text) {
  if (text.size() > kSubdomainBytesMax) return false;
  while (true) {
    const size_t dot = text.find('.');
    if (!IsLabel(text.substr(0, dot))) return false;
    if (dot == absl::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
}

bool IsNamespaceName(absl::string_view text) { return text.size() <= kLabelBytesMax && IsLabel(text); }

}  // namespace meshca
