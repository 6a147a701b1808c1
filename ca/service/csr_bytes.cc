#include "ca/service/csr_bytes.h"

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/x509/csr.h"

namespace meshca {

absl::Status CheckCsrBytes(absl::string_view csr, absl::string_view form) {
  if (csr.empty()) {
    return WithReason(absl::InvalidArgumentError(absl::StrCat("csr is empty; send a PKCS#10 request in ", form)),
                      "CSR_MISSING");
  }
  if (csr.size() <= Csr::kBytesMax) return absl::OkStatus();
  return WithReason(
      absl::InvalidArgumentError(absl::StrCat("csr has ", csr.size(), " bytes; at most ", Csr::kBytesMax, " are read")),
      "CSR_TOO_LARGE");
}

}  // namespace meshca
