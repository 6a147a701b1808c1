#include "ca/x509/authority_builder.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/base/utc_text.h"
#include "ca/x509/der.h"
#include "ca/x509/general_names.h"
#include "ca/x509/oids.h"

namespace meshca {
namespace {

constexpr absl::string_view kVersion3("\xa0\x03\x02\x01\x02", 5);
constexpr absl::string_view kTrue("\xff", 1);
// BIT STRINGs of KeyUsage.
constexpr absl::string_view kCertSignCrlSign("\x03\x02\x01\x06", 4);
constexpr absl::string_view kDigitalSignatureBits("\x03\x02\x07\x80", 4);
constexpr size_t kSubjectHexDigits = 16;
constexpr int kNoPathLen = -1;

// Everything a certificate of ours says; the builders below differ in nothing else.
struct Plan {
  std::string subject_der;
  PublicKey key;
  std::string subject_key_id;
  std::string issuer_der;
  std::string authority_key_id;
  Validity validity;
  bool is_ca = true;
  int path_len = kNoPathLen;
  std::string uri;
  ServerCertificateNames names;
};

std::string CommonName(absl::string_view text) {
  std::string attribute = der::MakeElement(der::kOid, oid::kCommonName);
  der::AppendElement(der::kUtf8String, text, attribute);
  return der::MakeElement(der::kSequence, der::MakeElement(der::kSet, der::MakeElement(der::kSequence, attribute)));
}

// Unique by the key: verifiers find an issuer by its name, and two roots of one name send them the wrong way.
std::string AuthorityName(absl::string_view role, const PublicKey& key) {
  return CommonName(absl::StrCat("meshca ", role, " ", HexLower(key.KeyIdentifier()).substr(0, kSubjectHexDigits)));
}

std::string Extension(absl::string_view oid, bool critical, absl::string_view value) {
  std::string content = der::MakeElement(der::kOid, oid);
  if (critical) der::AppendElement(der::kBoolean, kTrue, content);
  der::AppendElement(der::kOctetString, value, content);
  return der::MakeElement(der::kSequence, content);
}

std::string BasicConstraints(const Plan& plan) {
  std::string content;
  if (plan.is_ca) der::AppendElement(der::kBoolean, kTrue, content);
  if (plan.path_len != kNoPathLen) {
    der::AppendElement(der::kInteger, std::string(1, static_cast<char>(plan.path_len)), content);
  }
  return der::MakeElement(der::kSequence, content);
}

std::string ExtendedKeyUsage() {
  std::string content = der::MakeElement(der::kOid, oid::kServerAuth);
  der::AppendElement(der::kOid, oid::kClientAuth, content);
  return der::MakeElement(der::kSequence, content);
}

absl::StatusOr<std::string> SubjectAltName(const Plan& plan) {
  std::string content = der::MakeElement(der::Context(6), plan.uri);
  for (const std::string& name : plan.names.dns_names) {
    if (name.empty() || name.size() > 253 || !der::IsPrintableAscii(name)) {
      return absl::InvalidArgumentError(absl::StrCat("server certificate: not a DNS name: \"", name, "\""));
    }
    der::AppendElement(der::Context(2), name, content);
  }
  for (const std::string& address : plan.names.ip_addresses) {
    const std::string bytes = IpAddressBytes(address);
    if (bytes.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("server certificate: not an IP address: \"", address, "\""));
    }
    der::AppendElement(der::Context(7), bytes, content);
  }
  return der::MakeElement(der::kSequence, content);
}

absl::StatusOr<std::string> Extensions(const Plan& plan) {
  MESHCA_ASSIGN_OR_RETURN(const std::string names, SubjectAltName(plan));
  const absl::string_view usage = plan.is_ca ? kCertSignCrlSign : kDigitalSignatureBits;
  std::string list = Extension(oid::kBasicConstraints, true, BasicConstraints(plan));
  list += Extension(oid::kKeyUsage, true, usage);
  if (!plan.is_ca) list += Extension(oid::kExtendedKeyUsage, false, ExtendedKeyUsage());
  list += Extension(oid::kSubjectKeyIdentifier, false, der::MakeElement(der::kOctetString, plan.subject_key_id));
  if (!plan.authority_key_id.empty()) {
    list += Extension(oid::kAuthorityKeyIdentifier, false,
                      der::MakeElement(der::kSequence, der::MakeElement(der::Context(0), plan.authority_key_id)));
  }
  list += Extension(oid::kSubjectAltName, false, names);
  return der::MakeElement(der::ContextConstructed(3), der::MakeElement(der::kSequence, list));
}

absl::StatusOr<Certificate> Sign(const Plan& plan, const SigningKey& signer, const SerialNumber& serial) {
  MESHCA_ASSIGN_OR_RETURN(const std::string extensions, Extensions(plan));
  std::string times;
  der::AppendTime(plan.validity.not_before, times);
  der::AppendTime(plan.validity.not_after, times);
  std::string content(kVersion3);
  der::AppendElement(der::kInteger, serial.bytes(), content);
  absl::StrAppend(&content, signer.signature_algorithm(), plan.issuer_der);
  der::AppendElement(der::kSequence, times, content);
  absl::StrAppend(&content, plan.subject_der, plan.key.spki(), extensions);
  const std::string tbs = der::MakeElement(der::kSequence, content);
  MESHCA_ASSIGN_OR_RETURN(const std::string signature, signer.Sign(tbs));
  std::string whole = absl::StrCat(tbs, signer.signature_algorithm());
  der::AppendElement(der::kBitString, absl::StrCat(std::string(1, '\0'), signature), whole);
  return Certificate::Parse(Der(der::MakeElement(der::kSequence, whole)));
}

// From `from` until `until`, but inside `issuer`'s own time; a child that outlives its parent fails in some verifiers
// and not in others.
absl::StatusOr<Validity> Within(const Certificate& issuer, absl::Time now, absl::Time from, absl::Time until) {
  const Validity& own = issuer.validity();
  if (!own.Contains(now)) {
    return absl::FailedPreconditionError(absl::StrCat("authority \"", issuer.subject(), "\" is not valid at ",
                                                      OffsetText(now), ": it holds from ", OffsetText(own.not_before),
                                                      " until ", OffsetText(own.not_after)));
  }
  return Validity::Make(std::max(from, own.not_before), std::min(until, own.not_after));
}

absl::Status PathRoom(const Certificate& issuer, int needed) {
  if (!issuer.is_ca()) {
    return absl::FailedPreconditionError(absl::StrCat("\"", issuer.subject(), "\" is not a certificate authority"));
  }
  if (issuer.path_len().has_value() && *issuer.path_len() < needed) {
    return absl::FailedPreconditionError(absl::StrCat("authority \"", issuer.subject(), "\" has pathLenConstraint ",
                                                      *issuer.path_len(), "; at least ", needed, " is needed"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Certificate> BuildRoot(const TrustDomain& domain, const SigningKey& key, absl::Time now,
                                      absl::Duration lifetime, EntropySource& entropy) {
  Plan plan;
  plan.key = key.public_key();
  plan.subject_der = plan.issuer_der = AuthorityName("root", plan.key);
  plan.subject_key_id = plan.authority_key_id = plan.key.KeyIdentifier();
  plan.uri = domain.Id();
  MESHCA_ASSIGN_OR_RETURN(plan.validity, Validity::Make(now - kAuthorityBackdate, now + lifetime));
  return Sign(plan, key, SerialNumber::Make(now, entropy));
}

absl::StatusOr<Certificate> BuildIssuing(const TrustDomain& domain, const PublicKey& key, const Certificate& parent,
                                         const SigningKey& parent_key, absl::Time now, absl::Duration lifetime,
                                         EntropySource& entropy) {
  MESHCA_RETURN_IF_ERROR(PathRoom(parent, 1));
  Plan plan;
  plan.key = key;
  plan.subject_der = AuthorityName("issuing", key);
  plan.subject_key_id = key.KeyIdentifier();
  plan.issuer_der = parent.fields().subject_der;
  plan.authority_key_id = parent.fields().subject_key_id;
  plan.path_len = 0;
  plan.uri = domain.Id();
  MESHCA_ASSIGN_OR_RETURN(plan.validity, Within(parent, now, now - kAuthorityBackdate, now + lifetime));
  return Sign(plan, parent_key, SerialNumber::Make(now, entropy));
}

absl::StatusOr<Certificate> BuildCrossCertificate(const TrustDomain& domain, const Certificate& root,
                                                  const Certificate& signer, const SigningKey& signer_key,
                                                  absl::Time now, EntropySource& entropy) {
  MESHCA_RETURN_IF_ERROR(PathRoom(signer, 2));
  Plan plan;
  plan.key = root.public_key();
  plan.subject_der = root.fields().subject_der;
  // What `root` signs points at this identifier, however it was made.
  plan.subject_key_id = root.fields().subject_key_id;
  plan.issuer_der = signer.fields().subject_der;
  plan.authority_key_id = signer.fields().subject_key_id;
  plan.uri = domain.Id();
  MESHCA_ASSIGN_OR_RETURN(plan.validity, Within(signer, now, root.validity().not_before, root.validity().not_after));
  return Sign(plan, signer_key, SerialNumber::Make(now, entropy));
}

absl::StatusOr<Certificate> BuildServerCertificate(const TrustDomain& domain, const PublicKey& key,
                                                   const ServerCertificateNames& names, const Certificate& issuer,
                                                   const SigningKey& issuer_key, absl::Time now,
                                                   absl::Duration backdate, absl::Duration lifetime,
                                                   EntropySource& entropy) {
  MESHCA_RETURN_IF_ERROR(PathRoom(issuer, 0));
  Plan plan;
  plan.key = key;
  plan.subject_der = CommonName("meshca server");
  plan.subject_key_id = key.KeyIdentifier();
  plan.issuer_der = issuer.fields().subject_der;
  plan.authority_key_id = issuer.fields().subject_key_id;
  plan.is_ca = false;
  plan.uri = absl::StrCat(domain.Id(), "/meshca/server");
  plan.names = names;
  MESHCA_ASSIGN_OR_RETURN(plan.validity, Within(issuer, now, now - backdate, now + lifetime));
  return Sign(plan, issuer_key, SerialNumber::Make(now, entropy));
}

}  // namespace meshca
