// A Secret in Kubernetes as an option names it: NAMESPACE/NAME.
#ifndef MESHCA_CLI_COMMANDS_SECRET_OPTION_H_
#define MESHCA_CLI_COMMANDS_SECRET_OPTION_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace meshca::cli {

// A value. Both names are such as Kubernetes takes (RFC 1123): a label, and labels with dots between.
struct SecretName {
  std::string namespace_name;
  std::string name;

  // A usage error names `option`.
  static absl::StatusOr<SecretName> Parse(absl::string_view option, const std::string& text);
  std::string Text() const { return namespace_name + "/" + name; }
};

}  // namespace meshca::cli

#endif  // MESHCA_CLI_COMMANDS_SECRET_OPTION_H_
