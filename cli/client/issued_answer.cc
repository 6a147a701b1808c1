#include "cli/client/issued_answer.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/x509/chain_verifier.h"

namespace meshca::cli {
namespace {

absl::Status Invalid(absl::string_view what) {
  return WithReason(absl::UnauthenticatedError(absl::StrCat("the CA's answer is not kept: ", what)), "ANSWER_INVALID");
}

bool ShareAKey(const std::vector<Certificate>& a, const std::vector<Certificate>& b) {
  return std::any_of(a.begin(), a.end(), [&](const Certificate& one) {
    return std::any_of(b.begin(), b.end(),
                       [&](const Certificate& other) { return one.public_key() == other.public_key(); });
  });
}

}  // namespace

absl::StatusOr<IssuedAnswer> CheckAnswer(const std::vector<std::string>& elements, const PublicKey& key,
                                         const SpiffeId& id, const std::string& trusted_roots_pem, absl::Time now) {
  if (elements.size() < 2) return Invalid(absl::StrCat(elements.size(), " elements, at least 2 belong in it"));
  IssuedAnswer answer;
  std::vector<Certificate> chain;
  for (size_t i = 0; i + 1 < elements.size(); ++i) {
    absl::StatusOr<Certificate> certificate = Certificate::Parse(Pem(elements[i]));
    if (!certificate.ok()) return Invalid(absl::StrCat("certificate ", i + 1, ": ", certificate.status().message()));
    answer.chain_pem += certificate->pem().text();
    chain.push_back(*std::move(certificate));
  }
  const auto roots = Certificate::ParseAll(Pem(elements.back()));
  if (!roots.ok()) return Invalid(absl::StrCat("roots: ", roots.status().message()));
  answer.roots_pem = elements.back();
  answer.leaf = chain.front();

  if (!(answer.leaf.public_key() == key)) return Invalid("the certificate is for another key");
  std::vector<absl::string_view> der;
  der.reserve(chain.size());
  for (const Certificate& certificate : chain) der.push_back(certificate.der().bytes());
  const auto verified = ChainVerifier(id.trust_domain(), *roots).Verify(der, now);
  if (!verified.ok()) return Invalid(verified.status().message());
  if (verified->spiffe_id != id) return Invalid(absl::StrCat("the certificate is for ", verified->spiffe_id.uri()));
  if (!trusted_roots_pem.empty()) {
    const auto trusted = Certificate::ParseAll(Pem(trusted_roots_pem));
    if (!trusted.ok()) return Annotate(trusted.status(), "trusted roots");
    if (!ShareAKey(*trusted, *roots)) return Invalid("its roots hold none of those that the server was trusted by");
  }
  return answer;
}

}  // namespace meshca::cli
