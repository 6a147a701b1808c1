#include "test/ca/x509/test_files.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include <openssl/x509_vfy.h>

#include "absl/strings/str_cat.h"
#include "absl/time/civil_time.h"
#include "ca/base/entropy.h"
#include "ca/base/openssl_ptr.h"
#include "ca/x509/authority_builder.h"
#include "gtest/gtest.h"

namespace meshca {
namespace {

X509Ptr ToOpenSsl(const Certificate& certificate) {
  const std::string& der = certificate.der().bytes();
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  return X509Ptr(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
}

}  // namespace

std::string TestFile(absl::string_view name) {
  std::ifstream file(absl::StrCat(TESTDATA, "/", name), std::ios::binary);
  EXPECT_TRUE(file.good()) << name;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

std::vector<std::string> TestFiles(absl::string_view folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(absl::StrCat(TESTDATA, "/", folder))) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::unique_ptr<SoftwareKey> NewKey(KeyType type) { return *SoftwareKey::Generate(type); }

absl::Time TestNow() { return absl::FromCivil(absl::CivilSecond(2026, 6, 1, 12, 0, 0), absl::UTCTimeZone()); }

TestAuthorities NewAuthorities(absl::Time now) {
  TestAuthorities made;
  made.root = *BuildRoot(TestDomain(), *made.root_key, now, absl::Hours(24 * 3650), SystemEntropy());
  made.issuing = *BuildIssuing(TestDomain(), made.issuing_key->public_key(), made.root, *made.root_key, now,
                               absl::Hours(24 * 30), SystemEntropy());
  return made;
}

std::string OpenSslVerify(const Certificate& root, const std::vector<Certificate>& untrusted, const Certificate& leaf,
                          absl::Time now) {
  const OpenSslPtr<X509_STORE, X509_STORE_free> store(X509_STORE_new());
  X509_STORE_add_cert(store.get(), ToOpenSsl(root).get());
  STACK_OF(X509)* others = sk_X509_new_null();
  for (const Certificate& certificate : untrusted) sk_X509_push(others, ToOpenSsl(certificate).release());
  const X509Ptr end = ToOpenSsl(leaf);
  const OpenSslPtr<X509_STORE_CTX, X509_STORE_CTX_free> context(X509_STORE_CTX_new());
  X509_STORE_CTX_init(context.get(), store.get(), end.get(), others);
  X509_STORE_CTX_set_time(context.get(), 0, absl::ToTimeT(now));
  X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(context.get()), X509_V_FLAG_X509_STRICT);
  const int verdict = X509_verify_cert(context.get());
  const int error = X509_STORE_CTX_get_error(context.get());
  sk_X509_pop_free(others, X509_free);
  return verdict == 1 ? "" : X509_verify_cert_error_string(error);
}

Certificate Make(const MadeBy& by) {
  const X509Ptr made(X509_new());
  X509_set_version(made.get(), 2);
  static int64_t serial = 1000;
  if (by.serial_hex.empty()) {
    ASN1_INTEGER_set_int64(X509_get_serialNumber(made.get()), ++serial);
  } else {
    BIGNUM* number = nullptr;
    BN_hex2bn(&number, by.serial_hex.c_str());
    BN_to_ASN1_INTEGER(number, X509_get_serialNumber(made.get()));
    BN_free(number);
  }
  X509_NAME_add_entry_by_txt(X509_get_subject_name(made.get()), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(by.subject.c_str()), -1, -1, 0);
  const X509Ptr issuer = by.issuer == nullptr ? nullptr : ToOpenSsl(*by.issuer);
  X509* const issuer_or_self = issuer == nullptr ? made.get() : issuer.get();
  X509_set_issuer_name(made.get(), X509_get_subject_name(issuer_or_self));
  ASN1_TIME_set(X509_getm_notBefore(made.get()), absl::ToTimeT(by.not_before));
  ASN1_TIME_set(X509_getm_notAfter(made.get()), absl::ToTimeT(by.not_after));
  X509_set_pubkey(made.get(), by.key->evp());
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer_or_self, made.get(), nullptr, nullptr, 0);
  for (const auto& [name, value] : by.extensions) {
    const X509ExtensionPtr extension(X509V3_EXT_nconf(nullptr, &context, name.c_str(), value.c_str()));
    EXPECT_NE(extension, nullptr) << name << " = " << value << ": " << OpenSslError("");
    X509_add_ext(made.get(), extension.get(), -1);
  }
  const bool ed25519 = by.signer->public_key().type() == KeyType::kEd25519;
  EXPECT_GT(X509_sign(made.get(), by.signer->evp(), ed25519 ? nullptr : EVP_sha256()), 0);
  unsigned char* raw = nullptr;
  const int size = i2d_X509(made.get(), &raw);
  const Der der = Der::Copy(absl::string_view(reinterpret_cast<char*>(raw), static_cast<size_t>(size)));
  OPENSSL_free(raw);
  absl::StatusOr<Certificate> read = Certificate::Parse(der);
  EXPECT_TRUE(read.ok()) << read.status();
  return *std::move(read);
}

}  // namespace meshca
