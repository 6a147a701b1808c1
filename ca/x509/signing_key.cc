#include "ca/x509/signing_key.h"

#include <atomic>
#include <utility>

#include <openssl/rsa.h>

#include "absl/strings/str_cat.h"
#include "ca/base/check.h"
#include "ca/base/openssl_ptr.h"
#include "ca/base/status.h"
#include "ca/x509/digest.h"
#include "ca/x509/signature_algorithm.h"

namespace meshca {
namespace {

constexpr absl::string_view kPemEcKey = "EC PRIVATE KEY";
constexpr absl::string_view kPemRsaKey = "RSA PRIVATE KEY";
constexpr absl::string_view kPemEncryptedKey = "ENCRYPTED PRIVATE KEY";
constexpr size_t kPrivateKeyBytesMax = 64 * 1024;

absl::Status KeyError(absl::string_view what) {
  return WithReason(absl::InvalidArgumentError(absl::StrCat("private key: ", what)), "PRIVATE_KEY_MALFORMED");
}

HashType SignatureHash(KeyType type) { return type == KeyType::kEcP384 ? HashType::kSha384 : HashType::kSha256; }

bool IsRsa(KeyType type) { return type >= KeyType::kRsa2048 && type <= KeyType::kRsa4096; }

EvpPkeyPtr GenerateHandle(KeyType type) {
  switch (type) {
    case KeyType::kEcP256: return EvpPkeyPtr(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"));
    case KeyType::kEcP384: return EvpPkeyPtr(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-384"));
    case KeyType::kEd25519: return EvpPkeyPtr(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
    case KeyType::kRsa2048: return EvpPkeyPtr(EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", size_t{2048}));
    case KeyType::kRsa3072: return EvpPkeyPtr(EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", size_t{3072}));
    case KeyType::kRsa4096: return EvpPkeyPtr(EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", size_t{4096}));
    case KeyType::kEcP521: break;  // never made here
  }
  return nullptr;
}

absl::StatusOr<std::string> SignEd25519(EVP_PKEY* key, absl::string_view message) {
  const EvpMdCtxPtr context(EVP_MD_CTX_new());
  std::string signature(64, '\0');
  size_t size = signature.size();
  if (context == nullptr || EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key) != 1 ||
      EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size, OpenSslBytes(message),
                     message.size()) != 1) {
    return OpenSslError("EVP_DigestSign");
  }
  signature.resize(size);
  return signature;
}

EvpPkeyCtxPtr NewSignContext(EVP_PKEY* key, KeyType type) {
  EvpPkeyCtxPtr context(EVP_PKEY_CTX_new_from_pkey(nullptr, key, nullptr));
  if (context == nullptr || EVP_PKEY_sign_init(context.get()) != 1) return nullptr;
  if (IsRsa(type) && (EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_PADDING) != 1 ||
                      EVP_PKEY_CTX_set_signature_md(context.get(), HashAlgorithm(SignatureHash(type))) != 1)) {
    return nullptr;
  }
  return context;
}

// A pool thread signs with one key for weeks, so it keeps that key's context. Kept by the key's number in this process,
// not by its address, which a later key may get. It holds a reference to the key until another takes its place.
struct ThreadContext {
  uint64_t key_number = 0;
  EvpPkeyCtxPtr context;
};

uint64_t NextKeyNumber() {
  static std::atomic<uint64_t> last{0};
  return ++last;
}

}  // namespace

SoftwareKey::SoftwareKey(EVP_PKEY* key, PublicKey public_key)
    : key_(key), number_(NextKeyNumber()), public_key_(std::move(public_key)) {}

SoftwareKey::~SoftwareKey() { EVP_PKEY_free(key_); }

absl::StatusOr<std::unique_ptr<SoftwareKey>> SoftwareKey::Adopt(EVP_PKEY* key) {
  EvpPkeyPtr owned(key);
  unsigned char* raw = nullptr;
  const int size = i2d_PUBKEY(owned.get(), &raw);
  if (size <= 0) return OpenSslError("i2d_PUBKEY");
  const std::string spki(reinterpret_cast<const char*>(raw), static_cast<size_t>(size));
  OPENSSL_free(raw);
  absl::StatusOr<PublicKey> public_key = PublicKey::FromSpki(spki);
  if (!public_key.ok()) return Annotate(public_key.status(), "private key");
  return std::unique_ptr<SoftwareKey>(new SoftwareKey(owned.release(), *std::move(public_key)));
}

absl::StatusOr<std::unique_ptr<SoftwareKey>> SoftwareKey::Generate(KeyType type) {
  if (type == KeyType::kEcP521) return absl::InvalidArgumentError("keys of type ec-p521 are not made here");
  EvpPkeyPtr key = GenerateHandle(type);
  if (key == nullptr) return OpenSslError("EVP_PKEY_Q_keygen");
  return Adopt(key.release());
}

absl::StatusOr<std::unique_ptr<SoftwareKey>> SoftwareKey::FromPkcs8Der(absl::string_view der) {
  if (der.size() > kPrivateKeyBytesMax) return KeyError("more than 64 KiB");
  const unsigned char* at = OpenSslBytes(der);
  using Pkcs8Ptr = OpenSslPtr<PKCS8_PRIV_KEY_INFO, PKCS8_PRIV_KEY_INFO_free>;
  const Pkcs8Ptr info(d2i_PKCS8_PRIV_KEY_INFO(nullptr, &at, static_cast<long>(der.size())));
  if (info == nullptr) {
    OpenSslError("d2i_PKCS8_PRIV_KEY_INFO").IgnoreError();
    return KeyError("not a PKCS#8 PrivateKeyInfo, or encrypted with a password");
  }
  if (at != OpenSslBytes(der) + der.size()) return KeyError("bytes follow the key");
  EvpPkeyPtr key(EVP_PKCS82PKEY(info.get()));
  if (key == nullptr) {
    OpenSslError("EVP_PKCS82PKEY").IgnoreError();
    return KeyError("of an algorithm that is not supported, or damaged");
  }
  return Adopt(key.release());
}

absl::StatusOr<std::unique_ptr<SoftwareKey>> SoftwareKey::FromPem(absl::string_view pem) {
  if (pem.size() > kPrivateKeyBytesMax) return KeyError("more than 64 KiB");
  absl::StatusOr<std::vector<PemBlock>> read = PemDecodeBlocks(pem);
  if (!read.ok()) return Annotate(read.status(), "private key");
  // `openssl ecparam -genkey` puts the curve's parameters before the key.
  if (read->size() == 2 && read->front().label == "EC PARAMETERS") read->erase(read->begin());
  if (read->size() != 1) return KeyError(absl::StrCat(read->size(), " PEM blocks instead of one"));
  PemBlock& block = read->front();
  const SecretBytes der(std::move(block.der).Release());
  if (block.label == kPemPrivateKey) return FromPkcs8Der(der.reveal());
  if (block.label == kPemEncryptedKey) return KeyError("encrypted with a password: decrypt it first (openssl pkcs8)");
  if (block.label != kPemEcKey && block.label != kPemRsaKey) {
    return KeyError(absl::StrCat("the PEM block is a ", block.label.substr(0, 40), ", not a PRIVATE KEY"));
  }
  const unsigned char* at = OpenSslBytes(der.reveal());
  EvpPkeyPtr key(d2i_PrivateKey(block.label == kPemEcKey ? EVP_PKEY_EC : EVP_PKEY_RSA, nullptr, &at,
                                static_cast<long>(der.size())));
  if (key == nullptr || at != OpenSslBytes(der.reveal()) + der.size()) {
    OpenSslError("d2i_PrivateKey").IgnoreError();
    return KeyError(absl::StrCat("not a readable ", block.label));
  }
  return Adopt(key.release());
}

absl::StatusOr<std::string> SoftwareKey::Sign(absl::string_view message) const {
  const KeyType type = public_key_.type();
  if (type == KeyType::kEd25519) return SignEd25519(key_, message);
  static thread_local ThreadContext last;
  if (last.key_number != number_) {
    last.context = NewSignContext(key_, type);
    last.key_number = last.context == nullptr ? 0 : number_;
    if (last.context == nullptr) return OpenSslError("EVP_PKEY_sign_init");
  }
  const HashValue digest = Hash(SignatureHash(type), message);
  std::string signature(512, '\0');  // RSA-4096; an ECDSA signature is far below
  size_t size = signature.size();
  if (EVP_PKEY_sign(last.context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size, digest.bytes.data(),
                    digest.size) != 1) {
    last.key_number = 0;
    return OpenSslError("EVP_PKEY_sign");
  }
  signature.resize(size);
  return signature;
}

absl::string_view SoftwareKey::signature_algorithm() const {
  switch (public_key_.type()) {
    case KeyType::kEcP256: return kEcdsaWithSha256Algorithm;
    case KeyType::kEcP384: return kEcdsaWithSha384Algorithm;
    case KeyType::kEd25519: return kEd25519Algorithm;
    default: return kSha256WithRsaAlgorithm;
  }
}

SecretBytes SoftwareKey::ToPkcs8Der() const {
  using Pkcs8Ptr = OpenSslPtr<PKCS8_PRIV_KEY_INFO, PKCS8_PRIV_KEY_INFO_free>;
  const Pkcs8Ptr info(EVP_PKEY2PKCS8(key_));
  unsigned char* raw = nullptr;
  const int size = info == nullptr ? -1 : i2d_PKCS8_PRIV_KEY_INFO(info.get(), &raw);
  MESHCA_CHECK(size > 0);  // a key that was read or made here can be written
  SecretBytes der = SecretBytes::CopyOf(absl::string_view(reinterpret_cast<char*>(raw), static_cast<size_t>(size)));
  OPENSSL_clear_free(raw, static_cast<size_t>(size));
  return der;
}

SecretBytes SoftwareKey::ToPkcs8Pem() const {
  const SecretBytes der = ToPkcs8Der();
  return SecretBytes(std::move(PemEncode(kPemPrivateKey, der.reveal())).Release());
}

}  // namespace meshca
