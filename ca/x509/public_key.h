// A public key of a kind that meshca signs for.
#ifndef MESHCA_CA_X509_PUBLIC_KEY_H_
#define MESHCA_CA_X509_PUBLIC_KEY_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

// OpenSSL's key handle, named so that this header stays free of OpenSSL's.
typedef struct evp_pkey_st EVP_PKEY;

namespace meshca {

// RSA keys of a size between are the tier below: 2560 bits counts as kRsa2048. The numbers may be stored. kEcP521 is a
// type that is believed in the certificate of somebody else's authority and made or signed for nowhere.
enum class KeyType { kEcP256 = 1, kEcP384 = 2, kEd25519 = 3, kRsa2048 = 4, kRsa3072 = 5, kRsa4096 = 6, kEcP521 = 7 };

// "ec-p256", "ec-p384", "ed25519", "rsa-2048", "rsa-3072", "rsa-4096", "ec-p521": flags, config, tables.
absl::string_view KeyTypeName(KeyType type);
// InvalidArgument lists the names there are; ec-p521 is none of them.
absl::StatusOr<KeyType> ParseKeyType(absl::string_view name);

// EC P-256 or P-384 (named curve, uncompressed point on the curve), Ed25519, or RSA of 2048-4096 bits; in a certificate
// P-521 too. A cheap shared copy; a default-constructed one is empty: a place to assign to. Immutable, thread-safe.
class PublicKey {
 public:
  PublicKey() = default;

  // From a DER SubjectPublicKeyInfo (RFC 5280 §4.1.2.7). InvalidArgument with reason KEY_MALFORMED, KEY_WEAK (RSA
  // below 2048 bits, a curve below P-256, DSA; RSA above 4096 bits, which costs too much to check) or KEY_UNSUPPORTED.
  // P-256 takes the fast path: its raw point, checked against the curve.
  static absl::StatusOr<PublicKey> FromSpki(absl::string_view spki);
  // FromSpki by OpenSSL's decoder alone, for every type: what the fast path is compared with.
  static absl::StatusOr<PublicKey> FromSpkiByOpenSsl(absl::string_view spki);
  // FromSpki for a key that only checks the signatures of others: P-521 too, which other CAs' roots have. Nothing is
  // ever issued to such a key, because requests are read by FromSpki.
  static absl::StatusOr<PublicKey> OfCertificate(absl::string_view spki);

  KeyType type() const;
  // The DER SubjectPublicKeyInfo.
  absl::string_view spki() const;
  // SHA-256 of the SubjectPublicKeyInfo, 32 raw bytes; what IssuanceRecord::key_sha256 holds.
  const std::string& sha256() const;
  // The fingerprint people compare: lower-case hex of sha256().
  std::string sha256_hex() const;
  // subjectKeyIdentifier, 20 bytes: SHA-256 of the key's BIT STRING, leftmost 160 bits (RFC 7093 §2 method 1).
  std::string KeyIdentifier() const;
  bool empty() const { return rep_ == nullptr; }

  // Lives as long as this key or a copy of it. Never null for a key that is not empty. A P-256 key's is made at the
  // first call: Verify does without.
  EVP_PKEY* evp() const;

  // Is `signature` this key's over `message`? `algorithm` is the DER AlgorithmIdentifier that stands beside it.
  // Allowed: ECDSA and RSA PKCS#1 v1.5 with SHA-256/384/512, RSA-PSS with those (salt as long as the hash, MGF1 with
  // the same hash), Ed25519.
  // InvalidArgument: reason SIGNATURE_WEAK (MD5, SHA-1, SHA-224), SIGNATURE_UNSUPPORTED (unknown, or not this key's
  // kind), SIGNATURE_INVALID.
  absl::Status Verify(absl::string_view algorithm, absl::string_view message, absl::string_view signature) const;

  // The first half of Verify: may this key sign by `algorithm`? SIGNATURE_WEAK or SIGNATURE_UNSUPPORTED where not.
  absl::Status AcceptsAlgorithm(absl::string_view algorithm) const;

  friend bool operator==(const PublicKey& a, const PublicKey& b) { return a.spki() == b.spki(); }

 private:
  friend class PublicKeyParser;
  struct Rep;
  explicit PublicKey(std::shared_ptr<const Rep> rep);
  std::shared_ptr<const Rep> rep_;
};

}  // namespace meshca

#endif  // MESHCA_CA_X509_PUBLIC_KEY_H_
