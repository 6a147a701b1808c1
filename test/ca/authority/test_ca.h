// Certificates as other CAs make them, good and bad, and folders to plug them in from.
#ifndef MESHCA_TEST_CA_AUTHORITY_TEST_CA_H_
#define MESHCA_TEST_CA_AUTHORITY_TEST_CA_H_

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <openssl/ec.h>
#include <openssl/pem.h>

#include "absl/time/time.h"
#include "ca/base/check.h"
#include "ca/base/openssl_ptr.h"
#include "ca/x509/certificate.h"
#include "ca/x509/signing_key.h"
#include "test/fakes/temp_folder.h"

namespace meshca {

// What a certificate is to say. The default is a CA of the year around `now`.
struct TestCertificate {
  std::string name = "test";
  absl::Time not_before;
  absl::Time not_after;
  // Extensions in openssl's configuration words; "" leaves the extension out.
  std::string basic_constraints = "critical,CA:TRUE";
  std::string key_usage = "critical,keyCertSign,cRLSign";
  std::string subject_alt_name;
  std::string name_constraints;
  std::string policy_constraints;  // critical and unknown to meshca's reader
  std::string extended_key_usage;
  std::optional<long> serial;  // nothing: the next of a row
};

// A key with its certificate, made by OpenSSL's own builder: nothing of ours in it.
struct TestCa {
  EvpPkeyPtr key;
  X509Ptr x509;

  std::string pem() const {
    BioPtr bio(BIO_new(BIO_s_mem()));
    MESHCA_CHECK(PEM_write_bio_X509(bio.get(), x509.get()) == 1);
    return Text(bio.get());
  }
  std::string key_pem() const {
    BioPtr bio(BIO_new(BIO_s_mem()));
    MESHCA_CHECK(PEM_write_bio_PKCS8PrivateKey(bio.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1);
    return Text(bio.get());
  }
  std::string encrypted_key_pem() const {
    BioPtr bio(BIO_new(BIO_s_mem()));
    char password[] = "secret";
    MESHCA_CHECK(
        PEM_write_bio_PKCS8PrivateKey(bio.get(), key.get(), EVP_aes_256_cbc(), password, 6, nullptr, nullptr) == 1);
    return Text(bio.get());
  }
  Certificate certificate() const { return Certificate::Parse(Pem(pem())).value(); }
  std::string id() const { return certificate().spki_sha256_hex(); }

  static std::string Text(BIO* bio) {
    char* data = nullptr;
    long size = BIO_get_mem_data(bio, &data);
    return std::string(data, static_cast<size_t>(size));
  }
};

inline EvpPkeyPtr MakeTestKey() { return EvpPkeyPtr(EVP_EC_gen("P-256")); }
inline EvpPkeyPtr SameKey(const TestCa& ca) { return EvpPkeyPtr(EVP_PKEY_dup(ca.key.get())); }

// A certificate for `key` (a fresh one when null), signed by `issuer`, or by itself.
inline TestCa MakeTestCa(const TestCertificate& spec, const TestCa* issuer = nullptr, EvpPkeyPtr key = nullptr,
                         const EVP_MD* digest = EVP_sha256()) {
  TestCa ca;
  ca.key = key != nullptr ? std::move(key) : MakeTestKey();
  ca.x509.reset(X509_new());
  X509* x509 = ca.x509.get();
  X509_set_version(x509, 2);
  static int serial = 0;
  ASN1_INTEGER_set(X509_get_serialNumber(x509), spec.serial.value_or(++serial));
  X509_NAME_add_entry_by_txt(X509_get_subject_name(x509), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(spec.name.c_str()), -1, -1, 0);
  X509_set_issuer_name(x509, X509_get_subject_name(issuer != nullptr ? issuer->x509.get() : x509));
  ASN1_TIME_set(X509_getm_notBefore(x509), absl::ToTimeT(spec.not_before));
  ASN1_TIME_set(X509_getm_notAfter(x509), absl::ToTimeT(spec.not_after));
  X509_set_pubkey(x509, ca.key.get());
  for (auto& [nid, text] : std::vector<std::pair<int, std::string>>{{NID_basic_constraints, spec.basic_constraints},
                                                                    {NID_key_usage, spec.key_usage},
                                                                    {NID_subject_alt_name, spec.subject_alt_name},
                                                                    {NID_name_constraints, spec.name_constraints},
                                                                    {NID_policy_constraints, spec.policy_constraints},
                                                                    {NID_ext_key_usage, spec.extended_key_usage}}) {
    if (text.empty()) continue;
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer != nullptr ? issuer->x509.get() : x509, x509, nullptr, nullptr, 0);
    X509ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, &context, nid, text.c_str()));
    MESHCA_CHECK(extension != nullptr);
    X509_add_ext(x509, extension.get(), -1);
  }
  MESHCA_CHECK(X509_sign(x509, issuer != nullptr ? issuer->key.get() : ca.key.get(), digest) > 0);
  return ca;
}

// A folder to plug a CA in from.
class TestFolder : public TempFolder {
 public:
  // 0600, as a key needs it.
  void Write(const std::string& name, const std::string& bytes) const {
    std::ofstream(*this / name, std::ios::binary | std::ios::trunc) << bytes;
    std::filesystem::permissions(*this / name, std::filesystem::perms(0600));
  }
  void Remove(const std::string& name) const { std::filesystem::remove(*this / name); }
};

}  // namespace meshca

#endif  // MESHCA_TEST_CA_AUTHORITY_TEST_CA_H_
