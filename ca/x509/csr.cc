#include "ca/x509/csr.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/x509/csr_reader.h"
#include "ca/x509/der.h"
#include "ca/x509/encoding.h"

namespace meshca {
namespace {

constexpr absl::string_view kPemBegin = "-----BEGIN ";
constexpr absl::string_view kPemEnd = "-----END ";
constexpr absl::string_view kPemNewCertificateRequest = "NEW CERTIFICATE REQUEST";

absl::Status CsrError(absl::string_view reason, absl::string_view what) {
  return WithReason(absl::InvalidArgumentError(absl::StrCat("CSR: ", what)), reason);
}

absl::StatusOr<std::string> UnwrapPem(absl::string_view text) {
  absl::StatusOr<std::vector<PemBlock>> blocks = PemDecodeBlocks(text);
  if (!blocks.ok()) return CsrError("CSR_MALFORMED", blocks.status().message());
  PemBlock& block = blocks->front();
  if (block.label != kPemCertificateRequest && block.label != kPemNewCertificateRequest) {
    return CsrError("CSR_PEM_LABEL", absl::StrCat("the PEM block is a ", absl::CHexEscape(block.label.substr(0, 40)),
                                                  ", not a ", kPemCertificateRequest));
  }
  if (blocks->size() > 1) {
    return CsrError("CSR_TRAILING_DATA", absl::StrCat(blocks->size(), " PEM blocks; send exactly one"));
  }
  const size_t end = text.find(kPemEnd, text.find(kPemBegin));
  const size_t after = end + kPemEnd.size() + block.label.size() + 5;
  if (!absl::StripAsciiWhitespace(text.substr(after)).empty()) {
    return CsrError("CSR_TRAILING_DATA", "text follows the PEM block");
  }
  return std::move(block.der).Release();
}

// DER begins with 0x30, and so does text that begins with the digit "0". A request in DER is one element that ends
// where the bytes end; text is that only by a length that no request has.
bool IsDer(absl::string_view bytes) {
  der::Reader reader(bytes);
  absl::string_view content;
  return reader.Read(der::kSequence, content) && reader.empty();
}

}  // namespace

absl::StatusOr<std::string> CsrReader::Unwrap(absl::string_view pem_or_der) {
  if (pem_or_der.size() > Csr::kBytesMax) {
    return CsrError("CSR_TOO_LARGE", absl::StrCat(pem_or_der.size(), " bytes, more than ", Csr::kBytesMax));
  }
  if (pem_or_der.empty()) return CsrError("CSR_MALFORMED", "is empty");
  if (absl::StrContains(pem_or_der, kPemBegin) && !IsDer(pem_or_der)) return UnwrapPem(pem_or_der);
  // Broken DER as well: its reader says what is wrong with it.
  if (pem_or_der[0] == der::kSequence) return std::string(pem_or_der);
  return CsrError("CSR_MALFORMED", "is neither PEM nor DER");
}

absl::StatusOr<Csr> Csr::Parse(absl::string_view pem_or_der) {
  MESHCA_ASSIGN_OR_RETURN(const std::string der, CsrReader::Unwrap(pem_or_der));
  if (std::optional<absl::StatusOr<Csr>> verdict = CsrReader::Plain(der); verdict.has_value()) {
    return *std::move(verdict);
  }
  return CsrReader::ByOpenSsl(der);
}

absl::StatusOr<Csr> Csr::ParseByOpenSsl(absl::string_view pem_or_der) {
  MESHCA_ASSIGN_OR_RETURN(const std::string der, CsrReader::Unwrap(pem_or_der));
  return CsrReader::ByOpenSsl(der);
}

}  // namespace meshca
