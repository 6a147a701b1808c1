#include "ca/x509/leaf_builder.h"

#include <utility>

#include "ca/base/openssl_ptr.h"

namespace meshca {
namespace {

using IntegerPtr = OpenSslPtr<ASN1_INTEGER, ASN1_INTEGER_free>;
using TimePtr = OpenSslPtr<ASN1_TIME, ASN1_TIME_free>;
using AlgorPtr = OpenSslPtr<X509_ALGOR, X509_ALGOR_free>;
using BitStringPtr = OpenSslPtr<ASN1_BIT_STRING, ASN1_BIT_STRING_free>;
using BasicConstraintsPtr = OpenSslPtr<BASIC_CONSTRAINTS, BASIC_CONSTRAINTS_free>;
using ExtendedKeyUsagePtr = OpenSslPtr<EXTENDED_KEY_USAGE, EXTENDED_KEY_USAGE_free>;
using AuthorityKeyIdPtr = OpenSslPtr<AUTHORITY_KEYID, AUTHORITY_KEYID_free>;
using OctetStringPtr = OpenSslPtr<ASN1_OCTET_STRING, ASN1_OCTET_STRING_free>;

bool SetTime(absl::Time time, int (*set)(X509*, const ASN1_TIME*), X509* out) {
  const TimePtr encoded(ASN1_TIME_set(nullptr, absl::ToTimeT(time)));
  return encoded != nullptr && set(out, encoded.get()) == 1;
}

bool SetHead(const Certificate& issuer, absl::string_view signature_algorithm, const LeafFields& fields, X509* out) {
  const BignumPtr number(
      BN_bin2bn(OpenSslBytes(fields.serial.bytes()), static_cast<int>(SerialNumber::kBytes), nullptr));
  const IntegerPtr serial(BN_to_ASN1_INTEGER(number.get(), nullptr));
  const unsigned char* at = OpenSslBytes(signature_algorithm);
  const AlgorPtr algorithm(d2i_X509_ALGOR(nullptr, &at, static_cast<long>(signature_algorithm.size())));
  const std::string& name_der = issuer.fields().subject_der;
  at = OpenSslBytes(name_der);
  const X509NamePtr name(d2i_X509_NAME(nullptr, &at, static_cast<long>(name_der.size())));
  if (serial == nullptr || algorithm == nullptr || name == nullptr) return false;
  // OpenSSL sets this field only while it signs; here somebody else does.
  auto* slot = const_cast<X509_ALGOR*>(X509_get0_tbs_sigalg(out));
  return X509_set_version(out, 2) == 1 && X509_set_serialNumber(out, serial.get()) == 1 &&
         X509_ALGOR_copy(slot, algorithm.get()) == 1 && X509_set_issuer_name(out, name.get()) == 1 &&
         SetTime(fields.validity.not_before, X509_set1_notBefore, out) &&
         SetTime(fields.validity.not_after, X509_set1_notAfter, out) &&
         X509_set_pubkey(out, fields.public_key.evp()) == 1;
}

bool Add(int nid, void* value, bool critical, X509* out) {
  return value != nullptr && X509_add1_ext_i2d(out, nid, value, critical ? 1 : 0, X509V3_ADD_DEFAULT) == 1;
}

bool AddUsages(KeyType type, X509* out) {
  const BitStringPtr usage(ASN1_BIT_STRING_new());
  ASN1_BIT_STRING_set_bit(usage.get(), 0, 1);
  if (type == KeyType::kRsa2048 || type == KeyType::kRsa3072 || type == KeyType::kRsa4096) {
    ASN1_BIT_STRING_set_bit(usage.get(), 2, 1);
  }
  const ExtendedKeyUsagePtr purposes(EXTENDED_KEY_USAGE_new());
  sk_ASN1_OBJECT_push(purposes.get(), OBJ_nid2obj(NID_server_auth));
  sk_ASN1_OBJECT_push(purposes.get(), OBJ_nid2obj(NID_client_auth));
  const BasicConstraintsPtr constraints(BASIC_CONSTRAINTS_new());
  return Add(NID_key_usage, usage.get(), true, out) && Add(NID_ext_key_usage, purposes.get(), false, out) &&
         Add(NID_basic_constraints, constraints.get(), true, out);
}

OctetStringPtr OctetString(absl::string_view bytes) {
  OctetStringPtr made(ASN1_OCTET_STRING_new());
  ASN1_OCTET_STRING_set(made.get(), OpenSslBytes(bytes), static_cast<int>(bytes.size()));
  return made;
}

bool AddKeyIds(const Certificate& issuer, const LeafFields& fields, X509* out) {
  if (const std::string& id = issuer.fields().subject_key_id; !id.empty()) {
    const AuthorityKeyIdPtr authority(AUTHORITY_KEYID_new());
    authority->keyid = OctetString(id).release();
    if (!Add(NID_authority_key_identifier, authority.get(), false, out)) return false;
  }
  return Add(NID_subject_key_identifier, OctetString(fields.public_key.KeyIdentifier()).get(), false, out);
}

void PushName(int type, absl::string_view text, GENERAL_NAMES* names) {
  OpenSslPtr<ASN1_IA5STRING, ASN1_IA5STRING_free> value(ASN1_IA5STRING_new());
  ASN1_STRING_set(value.get(), text.data(), static_cast<int>(text.size()));
  OpenSslPtr<GENERAL_NAME, GENERAL_NAME_free> name(GENERAL_NAME_new());
  GENERAL_NAME_set0_value(name.get(), type, value.release());
  sk_GENERAL_NAME_push(names, name.release());
}

bool AddNames(const LeafFields& fields, X509* out) {
  const GeneralNamesPtr names(GENERAL_NAMES_new());
  PushName(GEN_URI, fields.spiffe_id.uri(), names.get());
  for (const std::string& dns : fields.dns_names) PushName(GEN_DNS, dns, names.get());
  return Add(NID_subject_alt_name, names.get(), true, out);
}

}  // namespace

absl::StatusOr<std::string> BuildLeafTbsByOpenSsl(const Certificate& issuer, absl::string_view signature_algorithm,
                                                  const LeafFields& fields) {
  const X509Ptr leaf(X509_new());
  if (leaf == nullptr || !SetHead(issuer, signature_algorithm, fields, leaf.get()) ||
      !AddUsages(fields.public_key.type(), leaf.get()) || !AddKeyIds(issuer, fields, leaf.get()) ||
      !AddNames(fields, leaf.get())) {
    return OpenSslError("X509 builder");
  }
  unsigned char* raw = nullptr;
  const int size = i2d_re_X509_tbs(leaf.get(), &raw);
  if (size <= 0) return OpenSslError("i2d_re_X509_tbs");
  std::string tbs(reinterpret_cast<char*>(raw), static_cast<size_t>(size));
  OPENSSL_free(raw);
  return tbs;
}

}  // namespace meshca
