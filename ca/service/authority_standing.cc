#include "ca/service/authority_standing.h"

#include <algorithm>
#include <memory>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"

namespace meshca {

absl::StatusOr<IssuerStanding::Verdict> AuthorityStanding::CheckIssuer(const Certificate& leaf, absl::Time now) const {
  const std::shared_ptr<const AuthoritySnapshot> snapshot = authorities_.Current();
  const auto refuse = [&leaf](absl::string_view why, absl::string_view reason) {
    return WithReason(absl::UnauthenticatedError(absl::StrCat("client certificate ", leaf.serial_hex(), ": ", why)),
                      reason);
  };
  if (snapshot == nullptr) return refuse("the CA has not started", "CERTIFICATE_ISSUER_UNKNOWN");
  const auto issuer = std::find_if(
      snapshot->authorities.begin(), snapshot->authorities.end(), [&leaf](const SigningAuthority& authority) {
        return authority.certificate.fields().subject_key_id == leaf.fields().authority_key_id;
      });
  // The handshake found a path to a root; an issuer that is not ours belongs to an upstream CA, which that path judged.
  if (issuer == snapshot->authorities.end()) return Verdict::kTrusted;
  const bool root_tainted =
      std::any_of(snapshot->authorities.begin(), snapshot->authorities.end(),
                  [&issuer](const SigningAuthority& root) { return root.id == issuer->root_id && root.tainted; });
  if (issuer->state == AuthorityState::kRetired) {
    return refuse("its authority is retired; join again with a token", "CERTIFICATE_ISSUER_UNKNOWN");
  }
  return issuer->tainted || root_tainted ? Verdict::kTainted : Verdict::kTrusted;
}

}  // namespace meshca
