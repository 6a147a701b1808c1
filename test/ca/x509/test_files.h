// Files beside the tests, and short cuts that several of them take.
#ifndef MESHCA_TEST_CA_X509_TEST_FILES_H_
#define MESHCA_TEST_CA_X509_TEST_FILES_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/x509/certificate.h"
#include "ca/x509/signing_key.h"
#include "test/ca/spiffe/test_domain.h"

namespace meshca {

// The content of testdata/`name`; "" fails the test that uses it.
std::string TestFile(absl::string_view name);
// The names of the files in testdata/`folder`, sorted.
std::vector<std::string> TestFiles(absl::string_view folder);

std::unique_ptr<SoftwareKey> NewKey(KeyType type = KeyType::kEcP256);

// 2026-06-01 12:00:00 UTC
absl::Time TestNow();

// A root and an issuing authority under it, made at TestNow().
struct TestAuthorities {
  std::unique_ptr<SoftwareKey> root_key = NewKey();
  std::unique_ptr<SoftwareKey> issuing_key = NewKey();
  Certificate root;
  Certificate issuing;
};
TestAuthorities NewAuthorities(absl::Time now = TestNow());

// Does OpenSSL accept `leaf` under `root` by way of `untrusted`, at `now`? "" or its error.
std::string OpenSslVerify(const Certificate& root, const std::vector<Certificate>& untrusted, const Certificate& leaf,
                          absl::Time now);

// A certificate by OpenSSL's builder, with whatever extensions a test wants, good or bad.
struct MadeBy {
  std::string subject = "test";         // its common name
  std::string serial_hex = {};          // "": the next small one
  const Certificate* issuer = nullptr;  // null: self-signed by `signer`
  const SoftwareKey* signer = nullptr;
  const SoftwareKey* key = nullptr;
  // OpenSSL's configuration names and values: {"basicConstraints", "critical,CA:TRUE"}
  std::vector<std::pair<std::string, std::string>> extensions;
  absl::Time not_before = TestNow() - absl::Hours(1);
  absl::Time not_after = TestNow() + absl::Hours(24);
};
Certificate Make(const MadeBy& by);

}  // namespace meshca

#endif  // MESHCA_TEST_CA_X509_TEST_FILES_H_
