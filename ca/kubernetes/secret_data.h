// The contents of a Secret, as the API server answers them.
#ifndef MESHCA_CA_KUBERNETES_SECRET_DATA_H_
#define MESHCA_CA_KUBERNETES_SECRET_DATA_H_

#include <cstddef>
#include <functional>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/base/secret.h"

namespace meshca::kubernetes {

// By key: "ca-key.pem".
using SecretData = std::map<std::string, SecretBytes, std::less<>>;

// Reads the answer to `get secrets`. InvalidArgument: it is no Secret, or a value of it is no base64, or longer than
// any certificate chain; names the key at most, and nothing of what it holds.
absl::StatusOr<SecretData> ReadSecretData(absl::string_view json);

}  // namespace meshca::kubernetes

#endif  // MESHCA_CA_KUBERNETES_SECRET_DATA_H_
