#include "test/bench/csr_factory.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "ca/base/check.h"
#include "ca/base/openssl_ptr.h"

namespace meshca::bench {
namespace {

using RequestPtr = OpenSslPtr<X509_REQ, X509_REQ_free>;
using ExtensionPtr = OpenSslPtr<X509_EXTENSION, X509_EXTENSION_free>;

std::string MakeCsr(EVP_PKEY* key, X509_EXTENSION* name) {
  RequestPtr request(X509_REQ_new());
  STACK_OF(X509_EXTENSION)* extensions = sk_X509_EXTENSION_new_null();
  sk_X509_EXTENSION_push(extensions, name);
  MESHCA_CHECK(X509_REQ_add_extensions(request.get(), extensions) == 1);
  sk_X509_EXTENSION_free(extensions);
  MESHCA_CHECK(X509_REQ_set_pubkey(request.get(), key) == 1);
  MESHCA_CHECK(X509_REQ_sign(request.get(), key, EVP_sha256()) > 0);
  BioPtr bio(BIO_new(BIO_s_mem()));
  MESHCA_CHECK(PEM_write_bio_X509_REQ(bio.get(), request.get()) == 1);
  char* data = nullptr;
  const auto size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<size_t>(size)};
}

}  // namespace

std::vector<std::string> MakeCsrs(int count, const std::string& spiffe_id) {
  const std::string value = "critical,URI:" + spiffe_id;
  ExtensionPtr name(X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, value.c_str()));
  MESHCA_CHECK(name != nullptr);
  std::vector<std::string> csrs;
  csrs.reserve(count);
  for (int i = 0; i < count; ++i) {
    EvpPkeyPtr key(EVP_EC_gen("P-256"));
    MESHCA_CHECK(key != nullptr);
    csrs.push_back(MakeCsr(key.get(), name.get()));
  }
  return csrs;
}

}  // namespace meshca::bench
