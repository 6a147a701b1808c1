// The strict reader: no more of PKCS#10 than P-256 clients send, and nothing OpenSSL would judge differently. Where in
// doubt it returns false or nothing, never an error: the doubt is OpenSSL's to settle.
#include <utility>

#include "absl/strings/escaping.h"
#include "ca/base/status.h"
#include "ca/x509/csr_reader.h"
#include "ca/x509/der.h"
#include "ca/x509/general_names.h"
#include "ca/x509/oids.h"
#include "ca/x509/signature_algorithm.h"

namespace meshca {
namespace {

constexpr uint16_t kKeyCertSignOrCrlSign = 1 << 5 | 1 << 6;

// A P-256 SubjectPublicKeyInfo is 91 bytes; PublicKey::FromSpki checks which.
constexpr size_t kP256SpkiBytes = 91;

bool IsPlainString(const der::Element& value) {
  return (value.tag == der::kUtf8String || value.tag == der::kPrintableString || value.tag == der::kIa5String) &&
         der::IsPrintableAscii(value.content);
}

bool ReadAsksForCa(absl::string_view basic_constraints, bool& asks) {
  der::Reader outer(basic_constraints);
  absl::string_view content, flag, path_len;
  if (!outer.Read(der::kSequence, content) || !outer.empty()) return false;
  der::Reader fields(content);
  if (fields.Read(der::kBoolean, flag)) {
    if (flag != "\xff") return false;
    asks = true;
  }
  if (fields.Read(der::kInteger, path_len) && !der::IsInteger(path_len)) return false;
  return fields.empty();
}

}  // namespace

std::optional<absl::StatusOr<Csr>> CsrReader::Plain(absl::string_view der) {
  der::Reader whole(der);
  absl::string_view request, bits, signature, spki;
  if (!whole.Read(der::kSequence, request) || !whole.empty()) return std::nullopt;
  der::Reader reader(request);
  der::Element info, algorithm;
  if (!reader.Read(der::kSequence, info) || !reader.Read(der::kSequence, algorithm) ||
      !reader.Read(der::kBitString, bits) || !reader.empty()) {
    return std::nullopt;
  }
  if (algorithm.whole != kEcdsaWithSha256Algorithm || !der::WholeBytes(bits, signature)) return std::nullopt;

  Csr csr;
  if (!ReadPlainInfo(info.content, spki, csr)) return std::nullopt;
  absl::StatusOr<PublicKey> key = PublicKey::FromSpki(spki);
  if (!key.ok() || key->type() != KeyType::kEcP256) return std::nullopt;
  if (const absl::Status status = key->Verify(kEcdsaWithSha256Algorithm, info.whole, signature); !status.ok()) {
    return WithReason(Annotate(status, "CSR"), "CSR_SIGNATURE_INVALID");
  }
  csr.public_key_ = *std::move(key);
  return csr;
}

bool CsrReader::ReadPlainInfo(absl::string_view info, absl::string_view& spki, Csr& csr) {
  der::Reader reader(info);
  absl::string_view version, subject, attributes;
  der::Element key;
  if (!reader.Read(der::kInteger, version) || version != absl::string_view("\0", 1)) return false;
  if (!reader.Read(der::kSequence, subject) || !ReadPlainSubject(subject, csr)) return false;
  if (!reader.Read(der::kSequence, key) || key.whole.size() != kP256SpkiBytes) return false;
  spki = key.whole;
  return reader.Read(der::ContextConstructed(0), attributes) && reader.empty() && ReadPlainAttributes(attributes, csr);
}

bool CsrReader::ReadPlainSubject(absl::string_view name, Csr& csr) {
  der::Reader sets(name);
  while (!sets.empty()) {
    absl::string_view set, attribute, oid;
    if (!sets.Read(der::kSet, set)) return false;
    der::Reader one(set);
    // Several attributes in one set are rare, and their order is a rule of its own.
    if (!one.Read(der::kSequence, attribute) || !one.empty()) return false;
    der::Reader pair(attribute);
    der::Element value;
    if (!pair.Read(der::kOid, oid) || !der::IsOid(oid)) return false;
    if (!pair.Next(value) || !pair.empty() || !IsPlainString(value)) return false;
    if (oid == oid::kCommonName) csr.common_name_ = absl::Utf8SafeCHexEscape(value.content);
  }
  return true;
}

bool CsrReader::ReadPlainAttributes(absl::string_view attributes, Csr& csr) {
  if (attributes.empty()) return true;
  der::Reader outer(attributes);
  absl::string_view attribute, oid, values, extensions;
  // One extensionRequest; challenge passwords and the like go the long way.
  if (!outer.Read(der::kSequence, attribute) || !outer.empty()) return false;
  der::Reader fields(attribute);
  if (!fields.Read(der::kOid, oid) || oid != oid::kExtensionRequest) return false;
  if (!fields.Read(der::kSet, values) || !fields.empty()) return false;
  der::Reader set(values);
  return set.Read(der::kSequence, extensions) && set.empty() && ReadPlainExtensions(extensions, csr);
}

bool CsrReader::ReadPlainExtensions(absl::string_view extensions, Csr& csr) {
  der::Reader reader(extensions);
  bool seen_names = false, seen_constraints = false, seen_usage = false;
  while (!reader.empty()) {
    absl::string_view extension, oid, critical, value;
    if (!reader.Read(der::kSequence, extension)) return false;
    der::Reader fields(extension);
    if (!fields.Read(der::kOid, oid) || !der::IsOid(oid)) return false;
    if (fields.Read(der::kBoolean, critical) && critical != "\xff") return false;
    if (!fields.Read(der::kOctetString, value) || !fields.empty()) return false;
    bool nothing = false;
    bool& seen = oid == oid::kSubjectAltName     ? seen_names
                 : oid == oid::kBasicConstraints ? seen_constraints
                 : oid == oid::kKeyUsage         ? seen_usage
                                                 : nothing;
    if (std::exchange(seen, true) || !ReadPlainExtension(oid, value, csr)) return false;
  }
  return true;
}

bool CsrReader::ReadPlainExtension(absl::string_view oid, absl::string_view value, Csr& csr) {
  if (oid == oid::kSubjectAltName) {
    GeneralNames names;
    if (!ReadGeneralNames(value, names) || names.others) return false;
    csr.uri_names_ = std::move(names.uris);
    csr.dns_names_ = std::move(names.dns_names);
    for (std::string& address : names.ip_addresses) csr.other_names_.push_back("IP:" + std::move(address));
    return true;
  }
  if (oid == oid::kBasicConstraints) {
    bool asks = false;
    if (!ReadAsksForCa(value, asks)) return false;
    csr.asks_for_ca_ |= asks;
    return true;
  }
  if (oid == oid::kKeyUsage) {
    der::Reader outer(value);
    absl::string_view bits;
    if (!outer.Read(der::kBitString, bits) || !outer.empty()) return false;
    const std::optional<uint16_t> usage = der::NamedBits(bits);
    if (!usage.has_value()) return false;
    csr.asks_for_ca_ |= (*usage & kKeyCertSignOrCrlSign) != 0;
  }
  return true;
}

}  // namespace meshca
