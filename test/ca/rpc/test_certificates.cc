#include "test/ca/rpc/test_certificates.h"

#include <openssl/ec.h>

#include "ca/base/check.h"

namespace meshca::rpc {

std::string TestCertificate::der() const {
  std::string bytes(static_cast<size_t>(i2d_X509(certificate.get(), nullptr)), '\0');
  auto* out = reinterpret_cast<unsigned char*>(bytes.data());
  i2d_X509(certificate.get(), &out);
  return bytes;
}

TestCertificate MakeCertificate(const std::string& common_name) {
  TestCertificate made;
  made.key.reset(EVP_EC_gen("P-256"));
  made.certificate.reset(X509_new());
  X509* certificate = made.certificate.get();
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 86'400);
  X509_NAME* name = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>(common_name.c_str()), -1,
                             -1, 0);
  X509_set_issuer_name(certificate, name);
  X509_set_pubkey(certificate, made.key.get());
  MESHCA_CHECK(X509_sign(certificate, made.key.get(), EVP_sha256()) > 0);
  return made;
}

TlsOptions ServerOptionsWith(const TestCertificate& certificate) {
  TlsOptions options;
  options.certificate_chain_der = {certificate.der()};
  EVP_PKEY_up_ref(certificate.key.get());
  options.private_key.reset(certificate.key.get());
  return options;
}

std::string CommonNameOf(const std::string& der) {
  const auto* in = reinterpret_cast<const unsigned char*>(der.data());
  X509Ptr certificate(d2i_X509(nullptr, &in, static_cast<long>(der.size())));
  MESHCA_CHECK(certificate != nullptr);
  char name[64] = "";
  X509_NAME_get_text_by_NID(X509_get_subject_name(certificate.get()), NID_commonName, name, sizeof name);
  return name;
}

}  // namespace meshca::rpc
