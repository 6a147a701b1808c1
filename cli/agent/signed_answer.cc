#include "cli/agent/signed_answer.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/base/utc_text.h"
#include "ca/x509/certificate.h"
#include "ca/x509/certificate_chain.h"
#include "ca/x509/encoding.h"

namespace meshca::agent {
namespace {

using Chain = google::protobuf::RepeatedPtrField<std::string>;

std::string IssuersDer(const Chain& chain) {
  std::string der;
  for (int i = 1; i < chain.size(); ++i) absl::StrAppend(&der, chain[i]);
  return der;
}

}  // namespace

absl::Status RefusalOf(const v1::CertificateResult& result) {
  if (result.code() == 0) return absl::OkStatus();
  // What gRPC has no name for is nothing that the caller could act on.
  const bool known = result.code() > 0 && result.code() <= static_cast<int>(absl::StatusCode::kUnauthenticated);
  absl::Status refusal(known ? static_cast<absl::StatusCode>(result.code()) : absl::StatusCode::kInternal,
                       result.message());
  return result.reason().empty() ? refusal : WithReason(std::move(refusal), result.reason());
}

absl::Status SignedAnswerReader::Invalid(absl::string_view why) const {
  return WithReason(absl::InternalError(absl::StrCat(what_, " is not used: ", why)), "ANSWER_INVALID");
}

absl::Status SignedAnswerReader::NotTrusted(const absl::Status& why, absl::Time now) const {
  return WithReason(
      absl::UnavailableError(absl::StrCat(what_, " is not used: ", why.message(),
                                          "; this agent goes by the trust that it was told last, and by its clock (",
                                          Rfc3339Text(now), ")")),
      "ANSWER_NOT_TRUSTED");
}

absl::StatusOr<SignedAnswerReader::Issuers> SignedAnswerReader::IssuersOf(const Chain& chain, const Certificate& leaf) {
  std::string der = IssuersDer(chain);
  if (der != last_der_ || last_.pem == nullptr) {
    std::vector<Certificate> certificates = {leaf};
    for (int i = 1; i < chain.size(); ++i) {
      MESHCA_ASSIGN_OR_RETURN(Certificate issuer, Certificate::Parse(Der(chain[i])));
      certificates.push_back(std::move(issuer));
    }
    MESHCA_ASSIGN_OR_RETURN(const CertificateChain made, CertificateChain::Make(certificates));
    auto pem = std::make_shared<std::vector<std::string>>();
    for (const Certificate& issuer : made.issuers()) pem->push_back(issuer.pem().text());
    last_ = {made.issuers(), std::move(pem)};
    last_der_ = std::move(der);
  }
  return last_;
}

absl::StatusOr<sds::Svid> SignedAnswerReader::Read(const Chain& chain, const PublicKey& key, const SpiffeId& id,
                                                   const ChainVerifier& verifier, absl::Time now) {
  if (chain.empty()) return Invalid("there is no certificate in it");
  if (chain.size() > static_cast<int>(ChainVerifier::kChainMax)) return Invalid("its chain is too long");
  const absl::StatusOr<Certificate> leaf = Certificate::Parse(Der(chain[0]));
  if (!leaf.ok()) return Invalid(leaf.status().message());
  if (!(leaf->public_key() == key)) return Invalid("the certificate is for another key");
  const absl::StatusOr<SpiffeId> found = leaf->spiffe_id();
  if (!found.ok()) return Invalid(found.status().message());
  if (*found != id) return Invalid(absl::StrCat("the certificate is of ", found->uri(), " instead of ", id.uri()));
  const absl::StatusOr<Issuers> issuers = IssuersOf(chain, *leaf);
  if (!issuers.ok()) return Invalid(issuers.status().message());

  std::vector<absl::string_view> der;
  for (const std::string& certificate : chain) der.push_back(certificate);
  const absl::StatusOr<VerifiedPeer> verified = verifier.Verify(der, now);
  if (!verified.ok()) return NotTrusted(verified.status(), now);
  // The path may lead by another certificate of the issuer's name than the one that stands behind the leaf.
  if (!issuers->certificates.empty() &&
      issuers->certificates.front().spki_sha256_hex() != verified->authority_ids.front()) {
    return Invalid("the certificate behind the leaf did not sign it");
  }
  sds::Svid svid;
  svid.chain = CertificateChain::FromIssuance(leaf->der(), issuers->certificates);
  svid.issuers_pem = issuers->pem;
  svid.validity = leaf->validity();
  svid.serial = leaf->serial_hex();
  svid.authority_id = verified->authority_ids.front();
  return svid;
}

}  // namespace meshca::agent
