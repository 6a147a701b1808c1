#include "test/bench/agent_wire.h"

#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include <cstdint>
#include <optional>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "ca/base/check.h"

namespace meshca::bench {
namespace {

constexpr int kSequence = 0x30, kInteger = 0x02, kVersion = 0xa0;

struct X509StackDelete {
  void operator()(STACK_OF(X509) * stack) const { sk_X509_pop_free(stack, X509_free); }
};
using X509StackPtr = std::unique_ptr<STACK_OF(X509), X509StackDelete>;
using X509StoreCtxPtr = OpenSslPtr<X509_STORE_CTX, X509_STORE_CTX_free>;

// The content of the element in front, which leaves `bytes`; nullopt: it is not one of `tag`, or is cut short.
std::optional<absl::string_view> TakeElement(int tag, absl::string_view& bytes) {
  if (bytes.size() < 2 || static_cast<uint8_t>(bytes[0]) != tag) return std::nullopt;
  size_t size = static_cast<uint8_t>(bytes[1]);
  size_t header = 2;
  if (size >= 0x80) {
    const size_t octets = size & 0x7f;
    if (octets > 3 || bytes.size() < header + octets) return std::nullopt;
    size = 0;
    for (size_t i = 0; i < octets; ++i) size = size << 8 | static_cast<uint8_t>(bytes[header + i]);
    header += octets;
  }
  if (bytes.size() - header < size) return std::nullopt;
  const absl::string_view content = bytes.substr(header, size);
  bytes.remove_prefix(header + size);
  return content;
}

X509Ptr ParseCertificate(absl::string_view der) {
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  return X509Ptr(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
}

absl::Status Wrong(absl::string_view what) {
  return absl::DataLossError(absl::StrCat("an answer of the CA is wrong: ", what));
}

bool NamesExactly(X509* leaf, absl::string_view spiffe_id) {
  const GeneralNamesPtr names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(leaf, NID_subject_alt_name, nullptr, nullptr)));
  if (names == nullptr || sk_GENERAL_NAME_num(names.get()) != 1) return false;
  const GENERAL_NAME* const name = sk_GENERAL_NAME_value(names.get(), 0);
  if (name->type != GEN_URI) return false;
  const ASN1_STRING* const uri = name->d.uniformResourceIdentifier;
  return absl::string_view(reinterpret_cast<const char*>(ASN1_STRING_get0_data(uri)),
                           static_cast<size_t>(ASN1_STRING_length(uri))) == spiffe_id;
}

}  // namespace

EvpPkeyPtr MakeP256Key() {
  EvpPkeyPtr key(EVP_EC_gen("P-256"));
  MESHCA_CHECK(key != nullptr);
  return key;
}

std::string CsrOf(EVP_PKEY* key) {
  const X509ReqPtr request(X509_REQ_new());
  MESHCA_CHECK(X509_REQ_set_pubkey(request.get(), key) == 1);
  MESHCA_CHECK(X509_REQ_sign(request.get(), key, EVP_sha256()) > 0);
  unsigned char* bytes = nullptr;
  const int size = i2d_X509_REQ(request.get(), &bytes);
  MESHCA_CHECK(size > 0);
  std::string der(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
  OPENSSL_free(bytes);
  return der;
}

absl::StatusOr<std::string> SerialOf(absl::string_view certificate) {
  std::optional<absl::string_view> inside = TakeElement(kSequence, certificate);
  if (inside) inside = TakeElement(kSequence, *inside);  // tbsCertificate
  if (inside && TakeElement(kVersion, *inside)) {
    if (const auto serial = TakeElement(kInteger, *inside)) return absl::BytesToHexString(*serial);
  }
  return absl::InvalidArgumentError("the CA answered with something that is no certificate");
}

absl::Status CheckAnswer(const agent::v1::CertificateResult& answer, absl::string_view csr, absl::string_view spiffe_id,
                         X509_STORE* roots) {
  if (answer.chain().empty()) return Wrong("there is no certificate in it");
  const X509StackPtr rest(sk_X509_new_null());
  X509Ptr leaf;
  for (const std::string& der : answer.chain()) {
    X509Ptr certificate = ParseCertificate(der);
    if (certificate == nullptr) return Wrong("it is no certificate");
    if (leaf == nullptr) {
      leaf = std::move(certificate);
    } else {
      sk_X509_push(rest.get(), certificate.release());
    }
  }
  const auto* at = reinterpret_cast<const unsigned char*>(csr.data());
  const X509ReqPtr request(d2i_X509_REQ(nullptr, &at, static_cast<long>(csr.size())));
  MESHCA_CHECK(request != nullptr);
  if (EVP_PKEY_eq(X509_get0_pubkey(leaf.get()), X509_REQ_get0_pubkey(request.get())) != 1) {
    return Wrong("its key is not the request's");
  }
  if (!NamesExactly(leaf.get(), spiffe_id)) return Wrong(absl::StrCat("it is not for ", spiffe_id, " alone"));
  const X509StoreCtxPtr context(X509_STORE_CTX_new());
  MESHCA_CHECK(X509_STORE_CTX_init(context.get(), roots, leaf.get(), rest.get()) == 1);
  if (X509_verify_cert(context.get()) == 1) return absl::OkStatus();
  return Wrong(X509_verify_cert_error_string(X509_STORE_CTX_get_error(context.get())));
}

}  // namespace meshca::bench
