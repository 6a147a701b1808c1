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

bool IsObjectName(absl::string_view text) {
  return !text.empty() && text.size() <= kNameBytesMax && std::all_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return absl::ascii_islower(byte) || absl::ascii_isdigit(byte) || c == '-' || c == '.';
  });
}

}  // namespace

absl::StatusOr<SecretName> SecretName::Parse(absl::string_view option, const std::string& text) {
  const std::vector<std::string> parts = absl::StrSplit(text, '/');
  if (parts.size() == 2 && IsObjectName(parts[0]) && IsObjectName(parts[1])) return SecretName{parts[0], parts[1]};
  return UsageError(absl::StrCat(option, ": \"", Printable(text),
                                 "\" is not NAMESPACE/SECRET, such as istio-system/istio-ca-secret"));
}

}  // namespace meshca::cli
