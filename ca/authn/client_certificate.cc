#include "ca/authn/client_certificate.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

std::string TimeText(absl::Time time) { return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone()); }

absl::Status Refused(absl::StatusCode code, absl::string_view reason, absl::string_view sentence) {
  return WithReason(absl::Status(code, absl::StrCat("client certificate: ", sentence)), reason);
}

}  // namespace

ClientCertificateAuthenticator::ClientCertificateAuthenticator(TrustDomain trust_domain, const IssuerStanding* standing)
    : trust_domain_(std::move(trust_domain)), standing_(standing) {}

void ClientCertificateAuthenticator::Authenticate(Credentials credentials, absl::Time now, Done done) {
  std::move(done)(Judge(*credentials.client_certificate, now));
}

absl::StatusOr<CallerIdentity> ClientCertificateAuthenticator::Judge(const Certificate& leaf, absl::Time now) const {
  using Code = absl::StatusCode;
  const Validity& validity = leaf.validity();
  if (!validity.Contains(now)) {
    return now < validity.not_before
               ? Refused(Code::kUnauthenticated, "CERTIFICATE_NOT_YET_VALID",
                         absl::StrCat("not valid before ", TimeText(validity.not_before)))
               : Refused(Code::kUnauthenticated, "CERTIFICATE_EXPIRED",
                         absl::StrCat("expired at ", TimeText(validity.not_after),
                                      "; join again with a token: meshca token create SPIFFE_ID"));
  }
  absl::StatusOr<SpiffeId> id = leaf.spiffe_id();
  if (!id.ok()) return Refused(Code::kPermissionDenied, "CERTIFICATE_NO_SPIFFE_ID", id.status().message());
  if (!id->MemberOf(trust_domain_)) {
    return Refused(Code::kPermissionDenied, "CERTIFICATE_TRUST_DOMAIN",
                   absl::StrCat("it is of trust domain ", id->trust_domain_name(), ", and this CA signs for ",
                                trust_domain_.name()));
  }
  CallerIdentity caller;
  if (standing_ != nullptr) {
    const absl::StatusOr<IssuerStanding::Verdict> standing = standing_->CheckIssuer(leaf, now);
    if (!standing.ok()) return Annotate(standing.status(), "client certificate");
    if (*standing == IssuerStanding::Verdict::kTainted) {
      caller.presented = PresentedCertificate{leaf.serial_hex(), leaf.sha256(), *id};
    }
  }
  caller.method = AuthMethod::kClientCertificate;
  caller.subject = absl::StrCat("certificate of ", id->uri());
  caller.ids = {*std::move(id)};
  caller.dns_names = leaf.fields().dns_names;
  caller.parent_serial = leaf.serial_hex();
  caller.proof_expires = validity.not_after + absl::Seconds(1);
  return caller;
}

}  // namespace meshca
