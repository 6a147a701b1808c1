#include "ca/issuance/issuer.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/check.h"
#include "ca/base/status.h"
#include "ca/x509/digest.h"
#include "ca/x509/leaf_template.h"
#include "ca/x509/lint.h"

namespace meshca {
namespace {

absl::Status CannotSign(const SigningAuthority& authority, absl::Time now) {
  const auto unavailable = [](absl::string_view why) {
    return WithReason(absl::UnavailableError(absl::StrCat("issuing authority: ", why)), "NO_ACTIVE_AUTHORITY");
  };
  if (authority.key == nullptr) return unavailable("its private key is not held here");
  if (authority.state != AuthorityState::kActive) {
    return unavailable(absl::StrCat("is ", AuthorityStateName(authority.state), ", not active"));
  }
  if (!authority.certificate.validity().Contains(now)) return unavailable("its certificate is not valid now");
  return absl::OkStatus();
}

absl::StatusOr<Validity> LeafValidity(const CertificateProfile& profile, const IssuanceRequest& request,
                                      const SigningAuthority& authority, absl::Time now) {
  MESHCA_ASSIGN_OR_RETURN(const absl::Duration lifetime, profile.LifetimeFor(request.lifetime, request.lifetime_max));
  // No leaf outlives the authorities above it: verifiers disagree on what such a chain is worth.
  absl::Time end = std::min(now + lifetime, authority.certificate.validity().not_after);
  for (const Certificate& upstream : authority.upstream) end = std::min(end, upstream.validity().not_after);
  const absl::Time begin = std::max(now - profile.backdate, authority.certificate.validity().not_before);
  return Validity::Make(begin, end);
}

std::shared_ptr<const IssuanceRecord> MakeRecord(const IssuanceRequest& request, const LeafFields& leaf,
                                                 const SigningAuthority& authority, const Der& certificate,
                                                 absl::Time now) {
  auto made = std::make_shared<IssuanceRecord>();
  IssuanceRecord& record = *made;
  record.serial = leaf.serial;
  record.spiffe_id = leaf.spiffe_id;
  record.key_sha256 = leaf.public_key.sha256();
  record.certificate_sha256 = Sha256(certificate.bytes());
  record.authority_id = authority.id;
  record.not_before = leaf.validity.not_before;
  record.not_after = leaf.validity.not_after;
  record.issued_at = now;
  record.method = request.caller.method;
  record.caller = request.caller.subject;
  if (!request.claimed_cluster.empty()) absl::StrAppend(&record.caller, " clusterid=", request.claimed_cluster);
  record.instance = request.caller.instance;
  record.node = request.caller.node;
  record.parent_serial = request.caller.parent_serial;
  record.token_id = request.caller.token_id;
  record.origin = request.caller.OriginOf(request.spiffe_id);
  record.presented = request.caller.presented;
  record.trusted_origins = request.caller.trusted_origins;
  record.node_key = request.caller.node_key;
  return made;
}

// A thread signs under one issuing certificate for weeks and keeps that one's template. Holding the certificate keeps
// its fields in place, so that their address tells it from another.
struct ThreadTemplate {
  Certificate issuer;
  std::string algorithm;
  std::optional<LeafTemplate> form;
};

absl::StatusOr<const LeafTemplate*> TemplateFor(const Certificate& issuer, absl::string_view algorithm) {
  static thread_local ThreadTemplate last;
  if (!last.form.has_value() || &last.issuer.fields() != &issuer.fields() || last.algorithm != algorithm) {
    MESHCA_ASSIGN_OR_RETURN(LeafTemplate form, LeafTemplate::Make(issuer, algorithm));
    last = ThreadTemplate{issuer, std::string(algorithm), std::move(form)};
  }
  return &*last.form;
}

}  // namespace

Issuer::Issuer(CertificateProfile profile, EntropySource& entropy) : profile_(std::move(profile)), entropy_(entropy) {
  MESHCA_CHECK(profile_.Validate().ok());
}

absl::StatusOr<SignedLeaf> Issuer::Issue(const IssuanceRequest& request, const SigningAuthority& authority,
                                         absl::Time now) const {
  const KeyType key_type = request.public_key.type();
  if (!profile_.AllowsKey(key_type)) {
    return WithReason(absl::InvalidArgumentError(
                          absl::StrCat("workload key: ", KeyTypeName(key_type), " is not among the key types allowed")),
                      "KEY_TYPE");
  }
  if (request.dns_names.size() > profile_.dns_names_max) {
    return WithReason(
        absl::InvalidArgumentError(absl::StrCat("workload: asks for ", request.dns_names.size(), " DNS names, at most ",
                                                profile_.dns_names_max, " are given")),
        "DNS_NAMES_TOO_MANY");
  }
  MESHCA_RETURN_IF_ERROR(CannotSign(authority, now));

  LeafFields leaf;
  MESHCA_ASSIGN_OR_RETURN(leaf.validity, LeafValidity(profile_, request, authority, now));
  leaf.serial = SerialNumber::Make(now, entropy_);
  leaf.spiffe_id = request.spiffe_id;
  leaf.dns_names = request.dns_names;
  leaf.public_key = request.public_key;

  MESHCA_ASSIGN_OR_RETURN(const LeafTemplate* const form,
                          TemplateFor(authority.certificate, authority.key->signature_algorithm()));
  const std::string tbs = form->BuildTbs(leaf);
  MESHCA_RETURN_IF_ERROR(LintLeafTbs(tbs));
  MESHCA_ASSIGN_OR_RETURN(const std::string signature, authority.key->Sign(tbs));

  std::vector<Certificate> issuers;
  issuers.reserve(1 + authority.upstream.size());
  issuers.push_back(authority.certificate);
  issuers.insert(issuers.end(), authority.upstream.begin(), authority.upstream.end());
  Der certificate = form->Assemble(tbs, signature);
  auto record = MakeRecord(request, leaf, authority, certificate, now);
  return SignedLeaf{CertificateChain::FromIssuance(std::move(certificate), std::move(issuers)), std::move(record)};
}

}  // namespace meshca
