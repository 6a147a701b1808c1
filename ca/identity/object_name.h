// Names of Kubernetes' objects. They stand in the paths of calls and in usernames, so whatever is no name must not
// pass.
#ifndef MESHCA_CA_IDENTITY_OBJECT_NAME_H_
#define MESHCA_CA_IDENTITY_OBJECT_NAME_H_

#include "absl/strings/string_view.h"

namespace meshca {

// A DNS subdomain (RFC 1123) of at most 253 bytes: labels of `[a-z0-9-]` with dots between, none of them empty, each
// beginning and ending with a letter or a digit. As Kubernetes names pods, nodes, accounts and Secrets. So ".." is
// none.
bool IsObjectName(absl::string_view text);

// A DNS label (RFC 1123) of at most 63 bytes: as it names namespaces.
bool IsNamespaceName(absl::string_view text);

}  // namespace meshca

#endif  // MESHCA_CA_IDENTITY_OBJECT_NAME_H_
