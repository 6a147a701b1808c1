#include "cli/commands/secret_option.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "ca/base/printable.h"
#include "cli/session.h"

namespace meshca::cli {
namespace {

constexpr size_t kNameBytesMax = 253;  // RFC 1123 subdomain, as Kubernetes has it
constexpr size_t kLabelBytesMax = 63;  // and one label of it

bool IsLetterOrDigit(char character) {
  const auto byte = static_cast<unsigned char>(character);
  return absl::ascii_islower(byte) || absl::ascii_isdigit(byte);
}

bool IsLabel(absl::string_view text, size_t bytes_max) {
  return !text.empty() && text.size() <= bytes_max && IsLetterOrDigit(text.front()) && IsLetterOrDigit(text.back()) &&
         std::all_of(text.begin(), text.end(),
                     [](char character) { return character == '-' || IsLetterOrDigit(character); });
}

bool IsNamespaceName(absl::string_view text) { return IsLabel(text, kLabelBytesMax); }

// Not `..`, which would be another path at the API server.
bool IsObjectName(absl::string_view text) {
  const std::vector<absl::string_view> labels = absl::StrSplit(text, '.');
  return text.size() <= kNameBytesMax && std::all_of(labels.begin(), labels.end(), [](absl::string_view label) {
           return IsLabel(label, kNameBytesMax);
         });
}

}  // namespace

absl::StatusOr<SecretName> SecretName::Parse(absl::string_view option, const std::string& text) {
  const std::vector<std::string> parts = absl::StrSplit(text, '/');
  if (parts.size() == 2 && IsNamespaceName(parts[0]) && IsObjectName(parts[1])) return SecretName{parts[0], parts[1]};
  return UsageError(absl::StrCat(option, ": \"", Printable(text),
                                 "\" is not NAMESPACE/SECRET, such as istio-system/istio-ca-secret"));
}

}  // namespace meshca::cli
