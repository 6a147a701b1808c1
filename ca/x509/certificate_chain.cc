#include "ca/x509/certificate_chain.h"

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"

namespace meshca {

absl::StatusOr<CertificateChain> CertificateChain::Make(const std::vector<Certificate>& leaf_first) {
  if (leaf_first.empty()) return absl::InvalidArgumentError("certificate chain: is empty");
  for (size_t i = 1; i < leaf_first.size(); ++i) {
    if (leaf_first[i].IsSelfSigned()) {
      return absl::InvalidArgumentError(
          absl::StrCat("certificate chain: certificate ", i + 1, " is self-signed; leave the root out"));
    }
    const absl::Status status = leaf_first[i - 1].VerifiesUnder(leaf_first[i]);
    if (!status.ok()) {
      return Annotate(status, absl::StrCat("certificate chain: certificate ", i, " is not signed by the next"));
    }
  }
  return CertificateChain(leaf_first.front().der(), std::vector<Certificate>(leaf_first.begin() + 1, leaf_first.end()));
}

std::vector<std::string> CertificateChain::PemElements() const {
  std::vector<std::string> elements;
  elements.reserve(1 + issuers_.size());
  elements.push_back(LeafPem().text());
  for (const Certificate& issuer : issuers_) elements.push_back(issuer.pem().text());
  return elements;
}

std::string CertificateChain::ToPem() const {
  std::string out;
  AppendPem(kPemCertificate, leaf_.bytes(), out);
  for (const Certificate& issuer : issuers_) out += issuer.pem().text();
  return out;
}

}  // namespace meshca
