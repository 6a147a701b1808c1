// The bytes of a CSR as a message brings them.
#ifndef MESHCA_CA_SERVICE_CSR_BYTES_H_
#define MESHCA_CA_SERVICE_CSR_BYTES_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace meshca {

// Before anything is parsed: InvalidArgument CSR_MISSING (no bytes; the sentence asks for a request in `form`, "DER" or
// "PEM"), CSR_TOO_LARGE (more than Csr::kBytesMax).
absl::Status CheckCsrBytes(absl::string_view csr, absl::string_view form);

}  // namespace meshca

#endif  // MESHCA_CA_SERVICE_CSR_BYTES_H_
