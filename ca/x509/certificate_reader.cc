#include "ca/x509/certificate_reader.h"

#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "ca/base/openssl_ptr.h"
#include "ca/base/status.h"
#include "ca/x509/der.h"
#include "ca/x509/encoding.h"
#include "ca/x509/general_names.h"
#include "ca/x509/oids.h"

namespace meshca {
namespace {

constexpr size_t kSerialBytesMax = 20;

absl::Status CannotRead(absl::string_view what) {
  return WithReason(absl::InvalidArgumentError(absl::StrCat("certificate: ", what, " cannot be read")),
                    "CERTIFICATE_MALFORMED");
}

bool ReadBasicConstraints(absl::string_view value, CertificateFields& out) {
  der::Reader outer(value);
  absl::string_view content, flag, length;
  if (!outer.Read(der::kSequence, content) || !outer.empty()) return false;
  der::Reader fields(content);
  if (fields.Read(der::kBoolean, flag)) {
    if (flag.size() != 1) return false;
    out.is_ca = flag[0] != 0;  // 00 is not DER for a default, but some old CAs wrote it
  }
  if (fields.Read(der::kInteger, length)) {
    // No chain is longer than 127, so a longer number would say no more.
    if (!der::IsInteger(length) || length.size() != 1 || (length[0] & 0x80) != 0) return false;
    out.path_len = length[0];
  }
  out.has_basic_constraints = true;
  return fields.empty();
}

bool ReadKeyUsage(absl::string_view value, CertificateFields& out) {
  der::Reader outer(value);
  absl::string_view bits;
  if (!outer.Read(der::kBitString, bits) || !outer.empty()) return false;
  out.key_usage = der::NamedBits(bits);
  return out.key_usage.has_value();
}

bool ReadExtendedKeyUsage(absl::string_view value, CertificateFields& out) {
  der::Reader outer(value);
  absl::string_view content;
  if (!outer.Read(der::kSequence, content) || !outer.empty() || content.empty()) return false;
  der::Reader purposes(content);
  while (!purposes.empty()) {
    absl::string_view oid;
    if (!purposes.Read(der::kOid, oid) || !der::IsOid(oid)) return false;
    const bool any = oid == oid::kAnyExtendedKeyUsage;
    out.server_auth |= any || oid == oid::kServerAuth;
    out.client_auth |= any || oid == oid::kClientAuth;
  }
  out.has_extended_key_usage = true;
  return true;
}

bool ReadSubjectKeyId(absl::string_view value, CertificateFields& out) {
  der::Reader outer(value);
  absl::string_view id;
  if (!outer.Read(der::kOctetString, id) || !outer.empty()) return false;
  out.subject_key_id = std::string(id);
  return true;
}

bool ReadAuthorityKeyId(absl::string_view value, CertificateFields& out) {
  der::Reader outer(value);
  absl::string_view content, id;
  if (!outer.Read(der::kSequence, content) || !outer.empty()) return false;
  der::Reader fields(content);
  if (fields.Read(der::Context(0), id)) out.authority_key_id = std::string(id);
  return true;  // issuer and serial, where there, tell nothing that the names do not
}

bool ReadSubjectAltName(absl::string_view value, bool critical, CertificateFields& out) {
  GeneralNames names;
  if (!ReadGeneralNames(value, names)) return false;
  out.uri_names = std::move(names.uris);
  out.dns_names = std::move(names.dns_names);
  out.ip_addresses = std::move(names.ip_addresses);
  out.has_other_names = names.others;
  out.subject_alt_name_critical = critical;
  return true;
}

absl::Status ReadExtension(absl::string_view oid, bool critical, absl::string_view value, CertificateFields& out) {
  const auto need = [](bool ok, absl::string_view what) { return ok ? absl::OkStatus() : CannotRead(what); };
  if (oid == oid::kSubjectAltName) return need(ReadSubjectAltName(value, critical, out), "subjectAltName");
  if (oid == oid::kBasicConstraints) return need(ReadBasicConstraints(value, out), "basicConstraints");
  if (oid == oid::kKeyUsage) return need(ReadKeyUsage(value, out), "keyUsage");
  if (oid == oid::kExtendedKeyUsage) return need(ReadExtendedKeyUsage(value, out), "extendedKeyUsage");
  if (oid == oid::kSubjectKeyIdentifier) return need(ReadSubjectKeyId(value, out), "subjectKeyIdentifier");
  if (oid == oid::kAuthorityKeyIdentifier) return need(ReadAuthorityKeyId(value, out), "authorityKeyIdentifier");
  if (oid == oid::kNameConstraints) {
    out.has_name_constraints = true;
  } else if (critical && out.unknown_critical.empty()) {
    out.unknown_critical = der::OidText(oid);
  }
  return absl::OkStatus();
}

absl::Status ReadExtensions(absl::string_view explicit_content, CertificateFields& out) {
  der::Reader outer(explicit_content);
  absl::string_view list;
  if (!outer.Read(der::kSequence, list) || !outer.empty()) return CannotRead("extensions");
  der::Reader reader(list);
  absl::flat_hash_set<absl::string_view> seen;
  while (!reader.empty()) {
    absl::string_view extension, oid, flag, value;
    if (!reader.Read(der::kSequence, extension)) return CannotRead("extensions");
    der::Reader fields(extension);
    if (!fields.Read(der::kOid, oid) || !der::IsOid(oid)) return CannotRead("an extension's name");
    const bool critical = fields.Read(der::kBoolean, flag) && flag.size() == 1 && flag[0] != 0;
    if (!fields.Read(der::kOctetString, value) || !fields.empty()) return CannotRead("an extension");
    if (!seen.insert(oid).second) return CannotRead(absl::StrCat("extension ", der::OidText(oid), " (there twice)"));
    MESHCA_RETURN_IF_ERROR(ReadExtension(oid, critical, value, out));
  }
  return absl::OkStatus();
}

absl::Status ReadSerial(der::Reader& reader, CertificateFields& out) {
  absl::string_view serial;
  if (!reader.Read(der::kInteger, serial) || !der::IsInteger(serial)) return CannotRead("serialNumber");
  if ((serial[0] & 0x80) != 0) {
    return WithReason(
        absl::InvalidArgumentError("certificate: serialNumber is negative (RFC 5280 §4.1.2.2): Go's crypto/x509, and "
                                   "with it every client written in Go, refuses the certificate; make it again with "
                                   "a positive one"),
        "CERTIFICATE_MALFORMED");
  }
  if (serial[0] == 0 && serial.size() > 1) serial.remove_prefix(1);
  if (serial.size() > kSerialBytesMax) return CannotRead("serialNumber (more than 20 bytes)");
  out.serial_hex = HexLower(serial);
  return absl::OkStatus();
}

absl::Status ReadValidity(der::Reader& reader, CertificateFields& out) {
  absl::string_view content;
  if (!reader.Read(der::kSequence, content)) return CannotRead("validity");
  der::Reader times(content);
  der::Element from, until;
  if (!times.Next(from) || !times.Next(until) || !times.empty()) return CannotRead("validity");
  const std::optional<absl::Time> not_before = der::ParseTime(from);
  const std::optional<absl::Time> not_after = der::ParseTime(until);
  if (!not_before.has_value() || !not_after.has_value()) return CannotRead("validity");
  out.validity = Validity{*not_before, *not_after};
  return absl::OkStatus();
}

absl::Status ReadTbs(absl::string_view tbs, CertificateParts& parts) {
  der::Reader reader(tbs);
  absl::string_view version, ignored, extensions;
  if (reader.Read(der::ContextConstructed(0), version) && version != absl::string_view("\x02\x01\x02", 3) &&
      version != absl::string_view("\x02\x01\x01", 3)) {
    return CannotRead("version");
  }
  MESHCA_RETURN_IF_ERROR(ReadSerial(reader, parts.fields));
  der::Element algorithm, issuer, subject, key;
  // RFC 5280 §4.1.2.3: the algorithm inside, which is signed, is the one outside, which is not.
  if (!reader.Read(der::kSequence, algorithm) || algorithm.whole != parts.signature_algorithm) {
    return CannotRead("signature algorithm (or differs between its two places)");
  }
  if (!reader.Read(der::kSequence, issuer)) return CannotRead("issuer");
  MESHCA_RETURN_IF_ERROR(ReadValidity(reader, parts.fields));
  if (!reader.Read(der::kSequence, subject)) return CannotRead("subject");
  if (!reader.Read(der::kSequence, key)) return CannotRead("subjectPublicKeyInfo");
  parts.fields.issuer_der = std::string(issuer.whole);
  parts.fields.subject_der = std::string(subject.whole);
  parts.spki = key.whole;
  reader.Read(der::Context(1), ignored);  // issuerUniqueID, subjectUniqueID: obsolete
  reader.Read(der::Context(2), ignored);
  if (reader.Read(der::ContextConstructed(3), extensions)) {
    MESHCA_RETURN_IF_ERROR(ReadExtensions(extensions, parts.fields));
  }
  return reader.empty() ? absl::OkStatus() : CannotRead("what follows the extensions");
}

}  // namespace

absl::StatusOr<CertificateParts> ReadCertificate(absl::string_view der) {
  der::Reader whole(der);
  absl::string_view content, bits;
  if (!whole.Read(der::kSequence, content)) return CannotRead("the bytes");
  if (!whole.empty()) return CannotRead("what follows the certificate");
  der::Reader reader(content);
  der::Element tbs, algorithm;
  CertificateParts parts;
  if (!reader.Read(der::kSequence, tbs)) return CannotRead("tbsCertificate");
  if (!reader.Read(der::kSequence, algorithm)) return CannotRead("signatureAlgorithm");
  if (!reader.Read(der::kBitString, bits) || !der::WholeBytes(bits, parts.signature) || !reader.empty()) {
    return CannotRead("signatureValue");
  }
  parts.tbs = tbs.whole;
  parts.signature_algorithm = algorithm.whole;
  MESHCA_RETURN_IF_ERROR(ReadTbs(tbs.content, parts));
  return parts;
}

// Rare work, so OpenSSL may do it.
std::string NameText(const std::string& der) {
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  const X509NamePtr name(d2i_X509_NAME(nullptr, &at, static_cast<long>(der.size())));
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (name == nullptr || bio == nullptr || X509_NAME_print_ex(bio.get(), name.get(), 0, XN_FLAG_RFC2253) < 0) {
    OpenSslError("X509_NAME_print_ex").IgnoreError();
    return "(unreadable name)";
  }
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  return std::string(text, static_cast<size_t>(size));
}

absl::StatusOr<SpiffeId> OneSpiffeId(const CertificateFields& fields) {
  const std::vector<std::string>& uris = fields.uri_names;
  if (uris.size() != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("certificate: ", uris.size(), " URI names; an X.509-SVID has exactly one"));
  }
  absl::StatusOr<SpiffeId> id = SpiffeId::Parse(uris.front());
  return id.ok() ? std::move(id) : absl::StatusOr<SpiffeId>(Annotate(id.status(), "certificate"));
}

}  // namespace meshca
