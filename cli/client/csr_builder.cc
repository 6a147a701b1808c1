#include "cli/client/csr_builder.h"

#include "absl/strings/string_view.h"
#include "ca/base/openssl_ptr.h"
#include "ca/base/status.h"
#include "ca/x509/dns_name.h"

namespace meshca::cli {
namespace {

void FreeExtensions(STACK_OF(X509_EXTENSION) * extensions) {
  sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
}
using ExtensionsPtr = OpenSslPtr<STACK_OF(X509_EXTENSION), FreeExtensions>;

absl::Status AddName(GENERAL_NAMES* names, int type, const std::string& text) {
  GENERAL_NAME* name = GENERAL_NAME_new();
  ASN1_IA5STRING* value = ASN1_IA5STRING_new();
  if (name == nullptr || value == nullptr || ASN1_STRING_set(value, text.data(), static_cast<int>(text.size())) != 1) {
    GENERAL_NAME_free(name);
    ASN1_IA5STRING_free(value);
    return OpenSslError("ASN1_STRING_set");
  }
  GENERAL_NAME_set0_value(name, type, value);
  if (sk_GENERAL_NAME_push(names, name) > 0) return absl::OkStatus();
  GENERAL_NAME_free(name);
  return OpenSslError("sk_GENERAL_NAME_push");
}

absl::Status AddNames(X509_REQ* request, const SpiffeId& id, const std::vector<std::string>& dns_names) {
  const GeneralNamesPtr names(sk_GENERAL_NAME_new_null());
  if (names == nullptr) return OpenSslError("GENERAL_NAMES");
  MESHCA_RETURN_IF_ERROR(AddName(names.get(), GEN_URI, id.uri()));
  for (const std::string& name : dns_names) {
    MESHCA_RETURN_IF_ERROR(CheckDnsName(name));
    MESHCA_RETURN_IF_ERROR(AddName(names.get(), GEN_DNS, name));
  }
  STACK_OF(X509_EXTENSION)* raw = nullptr;
  const int added = X509V3_add1_i2d(&raw, NID_subject_alt_name, names.get(), /*crit=*/1, X509V3_ADD_DEFAULT);
  const ExtensionsPtr extensions(raw);
  if (added != 1 || X509_REQ_add_extensions(request, extensions.get()) != 1) return OpenSslError("subjectAltName");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Pem> BuildCsr(const SoftwareKey& key, const SpiffeId& id, const std::vector<std::string>& dns_names) {
  const X509ReqPtr request(X509_REQ_new());
  if (request == nullptr || X509_REQ_set_version(request.get(), 0) != 1 ||
      X509_REQ_set_pubkey(request.get(), key.evp()) != 1) {
    return OpenSslError("X509_REQ_new");
  }
  MESHCA_RETURN_IF_ERROR(AddNames(request.get(), id, dns_names));
  const KeyType type = key.public_key().type();
  const EVP_MD* digest = type == KeyType::kEd25519 ? nullptr : type == KeyType::kEcP384 ? EVP_sha384() : EVP_sha256();
  if (X509_REQ_sign(request.get(), key.evp(), digest) <= 0) return OpenSslError("X509_REQ_sign");
  unsigned char* bytes = nullptr;
  const int size = i2d_X509_REQ(request.get(), &bytes);
  if (size < 0) return OpenSslError("i2d_X509_REQ");
  const std::string der(reinterpret_cast<char*>(bytes), static_cast<size_t>(size));
  OPENSSL_free(bytes);
  return PemEncode(kPemCertificateRequest, der);
}

}  // namespace meshca::cli
