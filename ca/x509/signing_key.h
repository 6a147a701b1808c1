// A private key that signs: in memory now, behind PKCS#11 later.
#ifndef MESHCA_CA_X509_SIGNING_KEY_H_
#define MESHCA_CA_X509_SIGNING_KEY_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/base/secret.h"
#include "ca/x509/encoding.h"
#include "ca/x509/public_key.h"

namespace meshca {

// Never copies, cannot be printed. Thread-safe.
class SigningKey {
 public:
  virtual ~SigningKey() = default;
  SigningKey() = default;
  SigningKey(const SigningKey&) = delete;
  SigningKey& operator=(const SigningKey&) = delete;

  // The signature over `message`, as a certificate's BIT STRING holds it. Internal: OpenSSL or the device.
  virtual absl::StatusOr<std::string> Sign(absl::string_view message) const = 0;
  virtual const PublicKey& public_key() const = 0;
  // The DER AlgorithmIdentifier of Sign's signatures: ECDSA with SHA-256 (P-256) or SHA-384 (P-384), Ed25519,
  // RSA PKCS#1 v1.5 with SHA-256. Lives as long as the key.
  virtual absl::string_view signature_algorithm() const = 0;
};

// A key in this process's memory.
class SoftwareKey final : public SigningKey {
 public:
  // Internal: OpenSSL. InvalidArgument: a type that is not made here.
  static absl::StatusOr<std::unique_ptr<SoftwareKey>> Generate(KeyType type);
  // An unencrypted PrivateKeyInfo (RFC 5208). InvalidArgument: malformed, trailing data, weak or unsupported key.
  static absl::StatusOr<std::unique_ptr<SoftwareKey>> FromPkcs8Der(absl::string_view der);
  // One PEM block: PKCS#8, or the older `EC PRIVATE KEY` and `RSA PRIVATE KEY` that plugged-in CAs still have.
  // InvalidArgument as above; an encrypted key is refused and said to be so.
  static absl::StatusOr<std::unique_ptr<SoftwareKey>> FromPem(absl::string_view pem);
  ~SoftwareKey() override;

  absl::StatusOr<std::string> Sign(absl::string_view message) const override;
  const PublicKey& public_key() const override { return public_key_; }
  absl::string_view signature_algorithm() const override;

  // PKCS#8, unencrypted.
  SecretBytes ToPkcs8Der() const;
  SecretBytes ToPkcs8Pem() const;

  // The handle, for a TLS context of the CA's own. Lives as long as the key.
  EVP_PKEY* evp() const { return key_; }

 private:
  SoftwareKey(EVP_PKEY* key, PublicKey public_key);
  static absl::StatusOr<std::unique_ptr<SoftwareKey>> Adopt(EVP_PKEY* key);
  EVP_PKEY* const key_;    // owned
  const uint64_t number_;  // of this key in this process: names it in a thread's cache
  const PublicKey public_key_;
};

}  // namespace meshca

#endif  // MESHCA_CA_X509_SIGNING_KEY_H_
