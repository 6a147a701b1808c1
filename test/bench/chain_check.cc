#include "test/bench/chain_check.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "istio/v1/auth/ca.pb.h"

namespace meshca::bench {
namespace {

using StackPtr = OpenSslPtr<STACK_OF(X509), [](STACK_OF(X509) * stack) { sk_X509_free(stack); }>;
using StoreContextPtr = OpenSslPtr<X509_STORE_CTX, X509_STORE_CTX_free>;

BioPtr Reader(const std::string& text) { return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

// Every certificate of every element: servers differ in how many they put into one.
std::vector<X509Ptr> Certificates(const istio::v1::auth::IstioCertificateResponse& response) {
  std::vector<X509Ptr> certificates;
  for (const std::string& element : response.cert_chain()) {
    const BioPtr bio = Reader(element);
    while (X509* certificate = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
      certificates.emplace_back(certificate);
    }
  }
  ERR_clear_error();
  return certificates;
}

}  // namespace

absl::StatusOr<ChainCheck> ChainCheck::Create(const std::string& root_file, std::string spiffe_id) {
  StorePtr store(X509_STORE_new());
  if (store == nullptr || X509_STORE_load_file(store.get(), root_file.c_str()) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError(absl::StrCat("no PEM certificate in ", root_file));
  }
  return ChainCheck(std::move(store), std::move(spiffe_id));
}

absl::Status ChainCheck::Check(absl::string_view response, const std::string& csr) const {
  istio::v1::auth::IstioCertificateResponse message;
  if (!message.ParseFromArray(response.data(), static_cast<int>(response.size()))) {
    return absl::DataLossError("an answer is no IstioCertificateResponse");
  }
  const std::vector<X509Ptr> certificates = Certificates(message);
  if (certificates.empty()) return absl::DataLossError("an answer holds no certificate");
  X509* const leaf = certificates.front().get();

  const BioPtr bio = Reader(csr);
  const X509ReqPtr request(PEM_read_bio_X509_REQ(bio.get(), nullptr, nullptr, nullptr));
  if (request == nullptr || EVP_PKEY_eq(X509_get0_pubkey(leaf), X509_REQ_get0_pubkey(request.get())) != 1) {
    return absl::DataLossError("a certificate is for another key than its request's");
  }
  if (absl::Status name = CheckName(leaf); !name.ok()) return name;

  const StackPtr untrusted(sk_X509_new_null());
  for (size_t i = 1; i < certificates.size(); ++i) sk_X509_push(untrusted.get(), certificates[i].get());
  const StoreContextPtr context(X509_STORE_CTX_new());
  X509_STORE_CTX_init(context.get(), store_.get(), leaf, untrusted.get());
  if (X509_verify_cert(context.get()) == 1) return absl::OkStatus();
  ERR_clear_error();
  return absl::DataLossError(absl::StrCat("a chain does not lead to the root given: ",
                                          X509_verify_cert_error_string(X509_STORE_CTX_get_error(context.get()))));
}

absl::Status ChainCheck::CheckName(X509* leaf) const {
  const GeneralNamesPtr names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(leaf, NID_subject_alt_name, nullptr, nullptr)));
  std::vector<std::string> uris;
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_URI) continue;
    const ASN1_IA5STRING* uri = name->d.uniformResourceIdentifier;
    uris.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(uri)), ASN1_STRING_length(uri));
  }
  if (uris == std::vector<std::string>{spiffe_id_}) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("a certificate is not for ", spiffe_id_, " but for ",
                                          uris.empty() ? "nobody" : uris.front(),
                                          ": --id must name what the caller's token or certificate stands for"));
}

}  // namespace meshca::bench
