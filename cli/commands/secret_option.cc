#include "cli/commands/secret_option.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "ca/base/printable.h"
#include "ca/identity/object_name.h"
#include "cli/session.h"

namespace meshca::cli {
absl::StatusOr<SecretName> SecretName::Parse(absl::string_view option, const std::string& text) {
  const std::vector<std::string> parts = absl::StrSplit(text, '/');
  if (parts.size() == 2 && IsNamespaceName(parts[0]) && IsObjectName(parts[1])) return SecretName{parts[0], parts[1]};
  return UsageError(absl::StrCat(option, ": \"", Printable(text),
                                 "\" is not NAMESPACE/SECRET, such as istio-system/istio-ca-secret"));
}

}  // namespace meshca::cli
