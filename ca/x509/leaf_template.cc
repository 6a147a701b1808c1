#include "ca/x509/leaf_template.h"

#include <utility>

#include "ca/x509/der.h"
#include "ca/x509/oids.h"

namespace meshca {
namespace {

// [0] version v3
constexpr absl::string_view kVersion3("\xa0\x03\x02\x01\x02", 5);
constexpr absl::string_view kEmptyName("\x30\x00", 2);
// Extensions whole: name, critical, value.
constexpr absl::string_view kBasicConstraintsExtension("\x30\x0c\x06\x03\x55\x1d\x13\x01\x01\xff\x04\x02\x30\x00", 14);
constexpr absl::string_view kDigitalSignatureExtension(
    "\x30\x0e\x06\x03\x55\x1d\x0f\x01\x01\xff\x04\x04\x03\x02\x07\x80", 16);
constexpr absl::string_view kDigitalSignatureKeyEnciphermentExtension(
    "\x30\x0e\x06\x03\x55\x1d\x0f\x01\x01\xff\x04\x04\x03\x02\x05\xa0", 16);
constexpr absl::string_view kExtendedKeyUsageExtension(
    "\x30\x1d\x06\x03\x55\x1d\x25\x04\x16\x30\x14\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01\x06\x08\x2b\x06\x01\x05\x05"
    "\x07\x03\x02",
    31);
// subjectKeyIdentifier up to its 20 bytes.
constexpr absl::string_view kSubjectKeyIdPrefix("\x30\x1d\x06\x03\x55\x1d\x0e\x04\x16\x04\x14", 11);
// subjectAltName, critical, without lengths: OID and BOOLEAN.
constexpr absl::string_view kSubjectAltNameHead("\x06\x03\x55\x1d\x11\x01\x01\xff", 8);

size_t ElementSize(size_t content) { return der::HeaderSize(content) + content; }

void Append(absl::string_view part, std::string& out) { out.append(part.data(), part.size()); }

absl::string_view KeyUsageExtension(KeyType type) {
  const bool rsa = type == KeyType::kRsa2048 || type == KeyType::kRsa3072 || type == KeyType::kRsa4096;
  return rsa ? kDigitalSignatureKeyEnciphermentExtension : kDigitalSignatureExtension;
}

std::string AuthorityKeyIdExtension(absl::string_view key_id) {
  const std::string value = der::MakeElement(der::kSequence, der::MakeElement(der::Context(0), key_id));
  std::string content = der::MakeElement(der::kOid, oid::kAuthorityKeyIdentifier);
  der::AppendElement(der::kOctetString, value, content);
  return der::MakeElement(der::kSequence, content);
}

struct NameSizes {
  size_t names;      // content of GeneralNames
  size_t value;      // GeneralNames whole
  size_t extension;  // content of the extension
};

NameSizes SizesOfNames(const LeafFields& fields) {
  NameSizes sizes;
  sizes.names = ElementSize(fields.spiffe_id.uri().size());
  for (const std::string& dns : fields.dns_names) sizes.names += ElementSize(dns.size());
  sizes.value = ElementSize(sizes.names);
  sizes.extension = kSubjectAltNameHead.size() + ElementSize(sizes.value);
  return sizes;
}

void AppendSubjectAltName(const LeafFields& fields, const NameSizes& sizes, std::string& out) {
  der::AppendHeader(der::kSequence, sizes.extension, out);
  Append(kSubjectAltNameHead, out);
  der::AppendHeader(der::kOctetString, sizes.value, out);
  der::AppendHeader(der::kSequence, sizes.names, out);
  der::AppendElement(der::Context(6), fields.spiffe_id.uri(), out);
  for (const std::string& dns : fields.dns_names) der::AppendElement(der::Context(2), dns, out);
}

std::string EncodeValidity(const Validity& validity) {
  std::string times;
  der::AppendTime(validity.not_before, times);
  der::AppendTime(validity.not_after, times);
  return times;
}

}  // namespace

absl::StatusOr<LeafTemplate> LeafTemplate::Make(const Certificate& issuer, absl::string_view signature_algorithm) {
  const CertificateFields& fields = issuer.fields();
  if (fields.subject_der == kEmptyName) return absl::InvalidArgumentError("issuing certificate: has no subject");
  LeafTemplate made;
  made.algorithm_ = std::string(signature_algorithm);
  made.algorithm_and_issuer_ = made.algorithm_ + fields.subject_der;
  Append(kExtendedKeyUsageExtension, made.fixed_extensions_);
  Append(kBasicConstraintsExtension, made.fixed_extensions_);
  // A plugged-in CA may lack the identifier that RFC 5280 §4.2.1.2 demands; then there is nothing to point at.
  if (!fields.subject_key_id.empty()) made.fixed_extensions_ += AuthorityKeyIdExtension(fields.subject_key_id);
  return made;
}

std::string LeafTemplate::BuildTbs(const LeafFields& fields) const {
  const absl::string_view spki = fields.public_key.spki();
  const std::string key_id = fields.public_key.KeyIdentifier();
  const absl::string_view key_usage = KeyUsageExtension(fields.public_key.type());
  const std::string times = EncodeValidity(fields.validity);
  const NameSizes names = SizesOfNames(fields);

  const size_t extensions = key_usage.size() + fixed_extensions_.size() + kSubjectKeyIdPrefix.size() + key_id.size() +
                            ElementSize(names.extension);
  const size_t extensions_list = ElementSize(extensions);
  const size_t content = kVersion3.size() + ElementSize(SerialNumber::kBytes) + algorithm_and_issuer_.size() +
                         ElementSize(times.size()) + kEmptyName.size() + spki.size() + ElementSize(extensions_list);

  std::string out;
  out.reserve(ElementSize(content));
  der::AppendHeader(der::kSequence, content, out);
  Append(kVersion3, out);
  der::AppendElement(der::kInteger, fields.serial.bytes(), out);
  out += algorithm_and_issuer_;
  der::AppendElement(der::kSequence, times, out);
  Append(kEmptyName, out);
  Append(spki, out);
  der::AppendHeader(der::ContextConstructed(3), extensions_list, out);
  der::AppendHeader(der::kSequence, extensions, out);
  Append(key_usage, out);
  out += fixed_extensions_;
  Append(kSubjectKeyIdPrefix, out);
  out += key_id;
  AppendSubjectAltName(fields, names, out);
  return out;
}

Der LeafTemplate::Assemble(absl::string_view tbs, absl::string_view signature) const {
  const size_t bits = 1 + signature.size();
  const size_t content = tbs.size() + algorithm_.size() + ElementSize(bits);
  std::string out;
  out.reserve(ElementSize(content));
  der::AppendHeader(der::kSequence, content, out);
  Append(tbs, out);
  out += algorithm_;
  der::AppendHeader(der::kBitString, bits, out);
  out.push_back('\0');
  Append(signature, out);
  return Der(std::move(out));
}

}  // namespace meshca
