#include "ca/authn/client_certificate.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/base/utc_text.h"
#include "ca/identity/join_token_terms.h"

namespace meshca {
namespace {

absl::Status Refused(absl::StatusCode code, absl::string_view reason, absl::string_view sentence) {
  return WithReason(absl::Status(code, absl::StrCat("client certificate: ", sentence)), reason);
}

}  // namespace

ClientCertificateAuthenticator::ClientCertificateAuthenticator(TrustDomain trust_domain, const PathStanding& standing)
    : trust_domain_(std::move(trust_domain)), standing_(standing) {}

void ClientCertificateAuthenticator::Authenticate(Credentials credentials, absl::Time now, Done done) {
  std::move(done)(Judge(*credentials.client_certificate, now));
}

void ClientCertificateAuthenticator::SetTrustedOrigins(TrustedOrigins origins) {
  auto next = std::make_shared<const TrustedOrigins>(std::move(origins));
  MutexLock lock(mutex_);
  trusted_origins_ = std::move(next);
}

std::shared_ptr<const TrustedOrigins> ClientCertificateAuthenticator::trusted_origins() const {
  MutexLock lock(mutex_);
  return trusted_origins_;
}

absl::StatusOr<CallerIdentity> ClientCertificateAuthenticator::Judge(const VerifiedPeer& peer, absl::Time now) const {
  using Code = absl::StatusCode;
  const Certificate& leaf = peer.leaf;
  const Validity& validity = leaf.validity();
  absl::StatusOr<SpiffeId> id = leaf.spiffe_id();
  if (!validity.Contains(now)) {
    return now < validity.not_before
               ? Refused(Code::kUnauthenticated, "CERTIFICATE_NOT_YET_VALID",
                         absl::StrCat("not valid before ", Rfc3339Text(validity.not_before)))
               : Refused(Code::kUnauthenticated, "CERTIFICATE_EXPIRED",
                         absl::StrCat("expired at ", Rfc3339Text(validity.not_after), "; join again with a token: ",
                                      id.ok() ? NewTokenCommand(*id) : "meshca token create SPIFFE_ID"));
  }
  if (!id.ok()) return Refused(Code::kPermissionDenied, "CERTIFICATE_NO_SPIFFE_ID", id.status().message());
  if (!id->MemberOf(trust_domain_)) {
    return Refused(Code::kPermissionDenied, "CERTIFICATE_TRUST_DOMAIN",
                   absl::StrCat("it is of trust domain ", id->trust_domain_name(), ", and this CA signs for ",
                                trust_domain_.name()));
  }
  const absl::StatusOr<PathStanding::Verdict> standing = standing_.JudgePath(peer, now);
  if (!standing.ok()) return Annotate(standing.status(), "client certificate");
  CallerIdentity caller;
  // A reserved ID lets its holder change trust itself: nobody has one on the word of a signature alone.
  const bool may_be_unrecorded = standing->may_be_unrecorded && !id->IsReserved();
  caller.presented = PresentedCertificate{leaf.serial_hex(), leaf.sha256(), *id, may_be_unrecorded};
  if (may_be_unrecorded) caller.presented->authority_ids = peer.authority_ids;
  caller.trusted_origins = trusted_origins();
  caller.method = AuthMethod::kClientCertificate;
  caller.subject = absl::StrCat("certificate of ", id->uri());
  caller.ids = {*std::move(id)};
  caller.dns_names = leaf.fields().dns_names;
  caller.parent_serial = leaf.serial_hex();
  caller.proof_expires = peer.path_ends + absl::Seconds(1);
  return caller;
}

}  // namespace meshca
