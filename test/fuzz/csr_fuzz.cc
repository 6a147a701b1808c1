// Links: ca_x509
// The CSR reader: takes any bytes, and its two paths say the same of them.
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "ca/base/check.h"
#include "ca/base/status.h"
#include "ca/x509/csr.h"

namespace {

std::string Describe(const absl::StatusOr<meshca::Csr>& csr) {
  if (!csr.ok()) return meshca::ReasonOf(csr.status());
  std::string text = absl::StrCat(csr->public_key().sha256_hex(), csr->common_name(), csr->asks_for_ca());
  for (const auto* names : {&csr->uri_names(), &csr->dns_names(), &csr->other_names()}) {
    for (const std::string& name : *names) absl::StrAppend(&text, "|", name);
  }
  return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<meshca::Csr> csr = meshca::Csr::Parse(bytes);
  MESHCA_CHECK(Describe(csr) == Describe(meshca::Csr::ParseByOpenSsl(bytes)));
  MESHCA_CHECK(csr.ok() || csr.status().code() == absl::StatusCode::kInvalidArgument);
  MESHCA_CHECK(csr.ok() || !meshca::ReasonOf(csr.status()).empty());
  MESHCA_CHECK(csr.ok() || csr.status().message().size() < 1000);
  return 0;
}
