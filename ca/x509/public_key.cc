#include "ca/x509/public_key.h"

#include <mutex>
#include <utility>

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ca/base/check.h"
#include "ca/base/openssl_ptr.h"
#include "ca/base/status.h"
#include "ca/x509/der.h"
#include "ca/x509/digest.h"
#include "ca/x509/encoding.h"
#include "ca/x509/rsa_verify.h"
#include "ca/x509/signature_algorithm.h"

namespace meshca {
namespace {

// Everything before the point in a SubjectPublicKeyInfo (RFC 5480 §2), the byte 04 of an uncompressed one included.
constexpr absl::string_view kP256Prefix(
    "\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00\x04", 27);
constexpr size_t kP256Size = 91;
constexpr absl::string_view kP384Prefix(
    "\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22\x03\x62\x00\x04", 24);
constexpr size_t kP384Size = 120;
constexpr absl::string_view kP521Prefix(
    "\x30\x81\x9b\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x23\x03\x81\x86\x00\x04", 26);
constexpr size_t kP521Size = 158;
constexpr absl::string_view kP521Oid = "1.3.132.0.35";

// The uncompressed point of a P-256 SubjectPublicKeyInfo, its byte 04 included.
absl::string_view P256Point(absl::string_view spki) { return spki.substr(kP256Prefix.size() - 1); }

absl::Status KeyError(absl::string_view reason, absl::string_view what) {
  return WithReason(absl::InvalidArgumentError(absl::StrCat("public key: ", what)), reason);
}

// One P-256 key that a thread puts each CSR's point into. Making a key of its own for every CSR (copied parameters) and
// a context for it costs 6 us, a tenth of the arithmetic; the point alone costs 0.7 us.
class P256Scratch {
 public:
  static P256Scratch& OfThread() {
    static thread_local P256Scratch scratch;
    return scratch;
  }

  // Takes the uncompressed `point` (RFC 5480 §2.2). KEY_MALFORMED when it is not on the curve.
  absl::Status Take(absl::string_view point) {
    if (point == point_) return absl::OkStatus();
    point_.clear();
    if (EVP_PKEY_set1_encoded_public_key(key_.get(), reinterpret_cast<const unsigned char*>(point.data()),
                                         point.size()) != 1) {
      OpenSslError("EVP_PKEY_set1_encoded_public_key").IgnoreError();
      return KeyError("KEY_MALFORMED", "EC point is not on the curve P-256");
    }
    point_ = std::string(point);
    return absl::OkStatus();
  }

  // A context ready for EVP_PKEY_verify under the point taken last, or null. This object's.
  EVP_PKEY_CTX* VerifyContext() { return EVP_PKEY_verify_init(context_.get()) == 1 ? context_.get() : nullptr; }

 private:
  P256Scratch()
      : key_(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256")),
        context_(EVP_PKEY_CTX_new_from_pkey(nullptr, key_.get(), nullptr)) {
    MESHCA_CHECK(key_ != nullptr && context_ != nullptr);
  }

  const EvpPkeyPtr key_;
  const EvpPkeyCtxPtr context_;
  std::string point_;  // what key_ holds; "" for what it was made with
};

// A key of its own for one that stays: TLS, chains, authorities.
EvpPkeyPtr P256FromPoint(absl::string_view point) {
  static EVP_PKEY* const parameters = [] {
    EVP_PKEY* key = EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256");
    MESHCA_CHECK(key != nullptr);
    return key;
  }();
  EvpPkeyPtr key(EVP_PKEY_new());
  MESHCA_CHECK(key != nullptr && EVP_PKEY_copy_parameters(key.get(), parameters) == 1);
  MESHCA_CHECK(EVP_PKEY_set1_encoded_public_key(key.get(), reinterpret_cast<const unsigned char*>(point.data()),
                                                point.size()) == 1);  // P256Scratch has taken it
  return key;
}

absl::StatusOr<KeyType> ClassifyRsa(const EVP_PKEY* key) {
  const int bits = EVP_PKEY_get_bits(key);
  if (bits < 2048) return KeyError("KEY_WEAK", absl::StrCat("RSA of ", bits, " bits: at least 2048 are needed"));
  if (bits > 4096) return KeyError("KEY_WEAK", absl::StrCat("RSA of ", bits, " bits: at most 4096 are allowed"));
  BIGNUM* raw_n = nullptr;
  BIGNUM* raw_e = nullptr;
  const bool read = EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &raw_n) == 1 &&
                    EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &raw_e) == 1;
  const BignumPtr n(raw_n), e(raw_e);
  if (!read) return OpenSslError("EVP_PKEY_get_bn_param");
  // A huge exponent would make every signature check as dear as a private operation.
  if (!BN_is_odd(n.get()) || !BN_is_odd(e.get()) || BN_is_one(e.get()) || BN_num_bits(e.get()) > 64) {
    return KeyError("KEY_WEAK", "RSA modulus or public exponent is not one that a sound generator makes");
  }
  return bits < 3072 ? KeyType::kRsa2048 : bits < 4096 ? KeyType::kRsa3072 : KeyType::kRsa4096;
}

absl::StatusOr<KeyType> ClassifyEc(absl::string_view spki, absl::string_view curve) {
  if (spki.size() == kP256Size && absl::StartsWith(spki, kP256Prefix)) return KeyType::kEcP256;
  if (spki.size() == kP384Size && absl::StartsWith(spki, kP384Prefix)) return KeyType::kEcP384;
  if (spki.size() == kP521Size && absl::StartsWith(spki, kP521Prefix)) return KeyType::kEcP521;
  if (curve == "1.2.840.10045.3.1.7" || curve == "1.3.132.0.34" || curve == kP521Oid) {
    return KeyError("KEY_UNSUPPORTED", "EC point is not in uncompressed form");
  }
  // 1.2.840.10045.3.1.1: P-192; 1.3.132.0.33: P-224.
  if (curve == "1.2.840.10045.3.1.1" || curve == "1.3.132.0.33") {
    return KeyError("KEY_WEAK", absl::StrCat("curve ", curve, " is below P-256"));
  }
  return KeyError("KEY_UNSUPPORTED",
                  absl::StrCat("curve ", curve, " is not supported: use P-256, P-384, Ed25519 or RSA"));
}

struct AlgorithmOids {
  std::string algorithm;
  std::string curve;  // "(explicit)" when it is no OID
};

// `spki` is DER as OpenSSL wrote it.
AlgorithmOids ReadAlgorithm(absl::string_view spki) {
  AlgorithmOids oids{"?", "(explicit)"};
  absl::string_view outer, identifier, oid, curve;
  if (der::Reader whole(spki); !whole.Read(der::kSequence, outer)) return oids;
  if (der::Reader info(outer); !info.Read(der::kSequence, identifier)) return oids;
  der::Reader reader(identifier);
  if (reader.Read(der::kOid, oid)) oids.algorithm = der::OidText(oid);
  if (reader.Read(der::kOid, curve)) oids.curve = der::OidText(curve);
  return oids;
}

absl::Status UnreadableKey(const AlgorithmOids& oids) {
  if (oids.algorithm == "1.2.840.10045.2.1") {
    absl::Status curve = ClassifyEc("", oids.curve).status();
    if (oids.curve != "1.2.840.10045.3.1.7" && oids.curve != "1.3.132.0.34" && oids.curve != kP521Oid) return curve;
    return KeyError("KEY_MALFORMED", "EC point is malformed or not on its curve");
  }
  return KeyError("KEY_MALFORMED", absl::StrCat("cannot be read as a key of algorithm ", oids.algorithm));
}

absl::StatusOr<KeyType> Classify(const EVP_PKEY* key, absl::string_view spki) {
  const AlgorithmOids oids = ReadAlgorithm(spki);
  if (oids.algorithm == "1.2.840.10040.4.1") return KeyError("KEY_WEAK", "DSA is not allowed");
  const bool known = oids.algorithm == "1.2.840.10045.2.1" || oids.algorithm == "1.3.101.112" ||
                     oids.algorithm == "1.2.840.113549.1.1.1";
  if (!known) {
    return KeyError("KEY_UNSUPPORTED",
                    absl::StrCat("algorithm ", oids.algorithm, " is not supported: use P-256, P-384, Ed25519 or RSA"));
  }
  if (key == nullptr) return UnreadableKey(oids);
  if (oids.algorithm == "1.2.840.113549.1.1.1") return ClassifyRsa(key);
  if (oids.algorithm == "1.3.101.112") return KeyType::kEd25519;
  return ClassifyEc(spki, oids.curve);
}

absl::Status Misfit(KeyType type) {
  return WithReason(absl::InvalidArgumentError(
                        absl::StrCat("signature algorithm does not belong to a key of type ", KeyTypeName(type))),
                    "SIGNATURE_UNSUPPORTED");
}

bool SchemeFits(SignatureScheme scheme, KeyType type) {
  switch (type) {
    case KeyType::kEcP256:
    case KeyType::kEcP384:
    case KeyType::kEcP521: return scheme == SignatureScheme::kEcdsa;
    case KeyType::kEd25519: return scheme == SignatureScheme::kEd25519;
    default: return scheme == SignatureScheme::kRsaPkcs1 || scheme == SignatureScheme::kRsaPss;
  }
}

int VerifyEd25519(EVP_PKEY* key, absl::string_view message, absl::string_view signature) {
  const EvpMdCtxPtr context(EVP_MD_CTX_new());
  if (context == nullptr || EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key) != 1) return -1;
  return EVP_DigestVerify(context.get(), OpenSslBytes(signature), signature.size(), OpenSslBytes(message),
                          message.size());
}

// EVP_PKEY_verify over our own digest: DigestVerifyInit would fetch the hash anew each time.
int VerifyMessage(EVP_PKEY_CTX* context, HashType hash, absl::string_view message, absl::string_view signature) {
  const HashValue digest = Hash(hash, message);
  return EVP_PKEY_verify(context, OpenSslBytes(signature), signature.size(), digest.bytes.data(), digest.size);
}

int VerifyEcdsa(EVP_PKEY* key, HashType hash, absl::string_view message, absl::string_view signature) {
  const EvpPkeyCtxPtr context(EVP_PKEY_CTX_new_from_pkey(nullptr, key, nullptr));
  if (context == nullptr || EVP_PKEY_verify_init(context.get()) != 1) return -1;
  return VerifyMessage(context.get(), hash, message, signature);
}

// The same for P-256, by the thread's scratch key. `point` belongs to a PublicKey: it is on the curve.
int VerifyP256(absl::string_view point, HashType hash, absl::string_view message, absl::string_view signature) {
  P256Scratch& scratch = P256Scratch::OfThread();
  if (!scratch.Take(point).ok()) return -1;
  EVP_PKEY_CTX* const context = scratch.VerifyContext();
  return context == nullptr ? -1 : VerifyMessage(context, hash, message, signature);
}

// `algorithm` is one that keys of this type sign by.
bool VerifyBy(const PublicKey& key, const SignatureAlgorithm& algorithm, absl::string_view message,
              absl::string_view signature) {
  switch (algorithm.scheme) {
    case SignatureScheme::kEcdsa:
      return (key.type() == KeyType::kEcP256 ? VerifyP256(P256Point(key.spki()), algorithm.hash, message, signature)
                                             : VerifyEcdsa(key.evp(), algorithm.hash, message, signature)) == 1;
    case SignatureScheme::kEd25519: return VerifyEd25519(key.evp(), message, signature) == 1;
    case SignatureScheme::kRsaPkcs1:
    case SignatureScheme::kRsaPss: return VerifyRsaDigest(key, algorithm, Hash(algorithm.hash, message), signature);
  }
  return false;
}

}  // namespace

absl::string_view KeyTypeName(KeyType type) {
  switch (type) {
    case KeyType::kEcP256: return "ec-p256";
    case KeyType::kEcP384: return "ec-p384";
    case KeyType::kEd25519: return "ed25519";
    case KeyType::kRsa2048: return "rsa-2048";
    case KeyType::kRsa3072: return "rsa-3072";
    case KeyType::kRsa4096: return "rsa-4096";
    case KeyType::kEcP521: return "ec-p521";
  }
  return "unknown";
}

absl::StatusOr<KeyType> ParseKeyType(absl::string_view name) {
  for (const KeyType type : {KeyType::kEcP256, KeyType::kEcP384, KeyType::kEd25519, KeyType::kRsa2048,
                             KeyType::kRsa3072, KeyType::kRsa4096}) {
    if (KeyTypeName(type) == name) return type;
  }
  return absl::InvalidArgumentError("key type: must be one of ec-p256, ec-p384, ed25519, rsa-2048, rsa-3072, rsa-4096");
}

struct PublicKey::Rep {
  Rep(KeyType type, absl::string_view spki, EvpPkeyPtr key)
      : type(type), spki(spki), sha256(Sha256(spki)), key(std::move(key)) {}

  const KeyType type;
  const std::string spki;
  const std::string sha256;
  // A P-256 key's is made when somebody asks: a CSR's key is checked and certified without.
  mutable std::once_flag made;
  mutable EvpPkeyPtr key;
};

// Makes the shared part; the one place that does.
class PublicKeyParser {
 public:
  static PublicKey Make(KeyType type, absl::string_view spki, EvpPkeyPtr key) {
    return PublicKey(std::make_shared<const PublicKey::Rep>(type, spki, std::move(key)));
  }
  // By OpenSSL's decoder, every type there is.
  static absl::StatusOr<PublicKey> Decode(absl::string_view spki);
};

PublicKey::PublicKey(std::shared_ptr<const Rep> rep) : rep_(std::move(rep)) {}

absl::StatusOr<PublicKey> PublicKey::FromSpki(absl::string_view spki) {
  if (spki.size() != kP256Size || !absl::StartsWith(spki, kP256Prefix)) return FromSpkiByOpenSsl(spki);
  MESHCA_RETURN_IF_ERROR(P256Scratch::OfThread().Take(P256Point(spki)));
  return PublicKeyParser::Make(KeyType::kEcP256, spki, nullptr);
}

absl::StatusOr<PublicKey> PublicKey::FromSpkiByOpenSsl(absl::string_view spki) {
  MESHCA_ASSIGN_OR_RETURN(PublicKey key, PublicKeyParser::Decode(spki));
  if (key.type() == KeyType::kEcP521) {
    return KeyError("KEY_UNSUPPORTED",
                    absl::StrCat("curve ", kP521Oid, " is not supported: use P-256, P-384, Ed25519 or RSA"));
  }
  return key;
}

absl::StatusOr<PublicKey> PublicKey::OfCertificate(absl::string_view spki) {
  if (spki.size() == kP256Size && absl::StartsWith(spki, kP256Prefix)) return FromSpki(spki);
  return PublicKeyParser::Decode(spki);
}

absl::StatusOr<PublicKey> PublicKeyParser::Decode(absl::string_view spki) {
  using X509PubkeyPtr = OpenSslPtr<X509_PUBKEY, X509_PUBKEY_free>;
  const unsigned char* at = OpenSslBytes(spki);
  const X509PubkeyPtr info(d2i_X509_PUBKEY(nullptr, &at, static_cast<long>(spki.size())));
  if (info == nullptr || at != OpenSslBytes(spki) + spki.size()) {
    OpenSslError("d2i_X509_PUBKEY").IgnoreError();
    return KeyError("KEY_MALFORMED", "is not a SubjectPublicKeyInfo");
  }
  unsigned char* raw = nullptr;
  const int size = i2d_X509_PUBKEY(info.get(), &raw);
  if (size <= 0) return OpenSslError("i2d_X509_PUBKEY");
  const std::string encoded(reinterpret_cast<const char*>(raw), static_cast<size_t>(size));
  OPENSSL_free(raw);
  EvpPkeyPtr key(X509_PUBKEY_get(info.get()));
  if (key == nullptr) OpenSslError("X509_PUBKEY_get").IgnoreError();
  MESHCA_ASSIGN_OR_RETURN(const KeyType type, Classify(key.get(), encoded));
  return Make(type, encoded, std::move(key));
}

KeyType PublicKey::type() const { return rep_->type; }
absl::string_view PublicKey::spki() const { return rep_ == nullptr ? absl::string_view() : rep_->spki; }
const std::string& PublicKey::sha256() const { return rep_->sha256; }
std::string PublicKey::sha256_hex() const { return HexLower(rep_->sha256); }

EVP_PKEY* PublicKey::evp() const {
  std::call_once(rep_->made, [this] {
    if (rep_->key == nullptr) rep_->key = P256FromPoint(P256Point(rep_->spki));
  });
  return rep_->key.get();
}

std::string PublicKey::KeyIdentifier() const {
  absl::string_view info, algorithm, bits, key;
  der::Reader outer(rep_->spki);
  MESHCA_CHECK(outer.Read(der::kSequence, info));
  der::Reader inner(info);
  MESHCA_CHECK(inner.Read(der::kSequence, algorithm) && inner.Read(der::kBitString, bits));
  MESHCA_CHECK(der::WholeBytes(bits, key));
  return Sha256(key).substr(0, 20);
}

absl::Status PublicKey::AcceptsAlgorithm(absl::string_view algorithm) const {
  MESHCA_ASSIGN_OR_RETURN(const SignatureAlgorithm read, ReadSignatureAlgorithm(algorithm));
  return SchemeFits(read.scheme, type()) ? absl::OkStatus() : Misfit(type());
}

absl::Status PublicKey::Verify(absl::string_view algorithm, absl::string_view message,
                               absl::string_view signature) const {
  MESHCA_ASSIGN_OR_RETURN(const SignatureAlgorithm read, ReadSignatureAlgorithm(algorithm));
  if (!SchemeFits(read.scheme, type())) return Misfit(type());
  if (VerifyBy(*this, read, message, signature)) return absl::OkStatus();
  OpenSslError("EVP_PKEY_verify").IgnoreError();
  return WithReason(absl::InvalidArgumentError("signature does not fit the key"), "SIGNATURE_INVALID");
}

}  // namespace meshca
