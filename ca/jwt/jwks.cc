#include "ca/jwt/jwks.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/json/json_value.h"
#include "ca/jwt/base64url.h"
#include "ca/x509/der.h"
#include "ca/x509/rsa_verify.h"
#include "ca/x509/signature_algorithm.h"

namespace meshca {
namespace {

struct AlgorithmRow {
  JwtAlgorithm algorithm;
  absl::string_view name;
  std::string identifier;  // DER AlgorithmIdentifier
};

// RSASSA-PSS with one hash, MGF1 with the same, and a salt as long as the hash (RFC 4055 §3.1, as RFC 7518 §3.5 wants
// it). `hash` is the last arc of the hash's OID, `salt` its size.
std::string PssIdentifier(char hash, char salt) {
  std::string identifier(
      "\x30\x41\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\x30\x34"
      "\xa0\x0f\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00"
      "\xa1\x1c\x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08"
      "\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00"
      "\xa2\x03\x02\x01\x20",
      67);
  identifier[29] = hash;
  identifier[59] = hash;
  identifier[66] = salt;
  return identifier;
}

// An AlgorithmIdentifier that differs from `of` in the last arc of its OID alone, which stands at `place`.
std::string WithArc(absl::string_view of, size_t place, char arc) {
  std::string identifier(of);
  identifier[place] = arc;
  return identifier;
}

const std::array<AlgorithmRow, 10>& Rows() {
  static const auto* const rows = new std::array<AlgorithmRow, 10>{{
      {JwtAlgorithm::kRs256, "RS256", std::string(kSha256WithRsaAlgorithm)},
      {JwtAlgorithm::kRs384, "RS384", WithArc(kSha256WithRsaAlgorithm, 12, 0x0c)},
      {JwtAlgorithm::kRs512, "RS512", WithArc(kSha256WithRsaAlgorithm, 12, 0x0d)},
      {JwtAlgorithm::kPs256, "PS256", PssIdentifier(0x01, 32)},
      {JwtAlgorithm::kPs384, "PS384", PssIdentifier(0x02, 48)},
      {JwtAlgorithm::kPs512, "PS512", PssIdentifier(0x03, 64)},
      {JwtAlgorithm::kEs256, "ES256", std::string(kEcdsaWithSha256Algorithm)},
      {JwtAlgorithm::kEs384, "ES384", std::string(kEcdsaWithSha384Algorithm)},
      {JwtAlgorithm::kEs512, "ES512", WithArc(kEcdsaWithSha256Algorithm, 11, 0x04)},
      {JwtAlgorithm::kEdDsa, "EdDSA", std::string(kEd25519Algorithm)},
  }};
  return *rows;
}

// The bytes of r, and of s, in a signature by ECDSA; 0 for any other algorithm.
size_t EcdsaHalf(JwtAlgorithm algorithm) {
  switch (algorithm) {
    case JwtAlgorithm::kEs256: return 32;
    case JwtAlgorithm::kEs384: return 48;
    case JwtAlgorithm::kEs512: return 66;
    default: return 0;
  }
}

std::string UnsignedInteger(absl::string_view bytes) {
  const size_t first = std::min(bytes.find_first_not_of('\0'), bytes.size());
  bytes.remove_prefix(first);
  std::string content(bytes);
  if (content.empty() || (static_cast<unsigned char>(content[0]) & 0x80) != 0) content.insert(0, 1, '\0');
  return der::MakeElement(der::kInteger, content);
}

std::string Spki(absl::string_view algorithm, absl::string_view key) {
  return der::MakeElement(
      der::kSequence,
      absl::StrCat(algorithm, der::MakeElement(der::kBitString, std::string(1, '\0') + std::string(key))));
}

constexpr absl::string_view kRsaKey("\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00", 15);
constexpr absl::string_view kP256Key(
    "\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", 21);
constexpr absl::string_view kP384Key("\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22", 18);

// A key that ought to be one of ours and is not usable, and one that was never meant for us.
absl::Status Broken(absl::string_view fault) { return absl::InvalidArgumentError(fault); }
absl::Status Foreign(absl::string_view why) { return absl::UnimplementedError(why); }

// A member's text for people: names, curves and algorithms come from whoever answers at the issuer's URL.
std::string ShownMember(absl::string_view text) {
  return absl::StrCat("\"", absl::Utf8SafeCHexEscape(text.substr(0, 64)), text.size() > 64 ? "..." : "", "\"");
}

absl::StatusOr<std::string> Bytes(const JsonValue& jwk, absl::string_view name, size_t size) {
  if (jwk.Find(name) == nullptr) {
    const bool chain = jwk.Find("x5c") != nullptr;
    return Broken(absl::StrCat("\"", name, "\" is missing",
                               chain ? " (x5c alone is not read: the key itself must be there, RFC 7517 §4.7)" : ""));
  }
  std::optional<std::string> bytes = Base64UrlDecode(jwk.FindText(name));
  if (!bytes.has_value() || bytes->empty()) {
    return Broken(absl::StrCat("\"", name, "\" is not base64url without padding"));
  }
  if (size != 0 && bytes->size() != size) return Broken(absl::StrCat("\"", name, "\" is not ", size, " bytes long"));
  return *std::move(bytes);
}

// The key's SubjectPublicKeyInfo.
absl::StatusOr<std::string> SpkiOf(const JsonValue& jwk) {
  const absl::string_view type = jwk.FindText("kty");
  const absl::string_view curve = jwk.FindText("crv");
  if (type == "RSA") {
    MESHCA_ASSIGN_OR_RETURN(const std::string modulus, Bytes(jwk, "n", 0));
    MESHCA_ASSIGN_OR_RETURN(const std::string exponent, Bytes(jwk, "e", 0));
    return Spki(kRsaKey,
                der::MakeElement(der::kSequence, absl::StrCat(UnsignedInteger(modulus), UnsignedInteger(exponent))));
  }
  if (type == "EC" && (curve == "P-256" || curve == "P-384")) {
    const size_t size = curve == "P-256" ? 32 : 48;
    MESHCA_ASSIGN_OR_RETURN(const std::string x, Bytes(jwk, "x", size));
    MESHCA_ASSIGN_OR_RETURN(const std::string y, Bytes(jwk, "y", size));
    return Spki(curve == "P-256" ? kP256Key : kP384Key, absl::StrCat("\x04", x, y));
  }
  if (type == "OKP" && curve == "Ed25519") {
    MESHCA_ASSIGN_OR_RETURN(const std::string x, Bytes(jwk, "x", 32));
    return Spki(kEd25519Algorithm, x);
  }
  if (type == "EC" || type == "OKP") {
    return Foreign(absl::StrCat("no algorithm here takes the curve ", ShownMember(curve)));
  }
  return Foreign(absl::StrCat("no algorithm here takes the key type ", ShownMember(type)));
}

// RFC 7517 §4.3: where a key says what it may be used for, verifying is among it.
absl::Status CheckOperations(const JsonValue& jwk) {
  const JsonValue* operations = jwk.Find("key_ops");
  if (operations == nullptr) return absl::OkStatus();
  if (operations->kind != JsonValue::Kind::kArray) return Broken("\"key_ops\" is no list");
  for (const JsonValue& operation : operations->items) {
    if (operation.is_text() && operation.text == "verify") return absl::OkStatus();
  }
  return Foreign("\"key_ops\" lacks verify");
}

// Does `alg` bind the key to an algorithm that is accepted here and takes its type?
absl::Status CheckAlgorithm(absl::string_view alg, KeyType type) {
  if (alg.empty()) return absl::OkStatus();
  for (const AlgorithmRow& row : Rows()) {
    if (row.name != alg) continue;
    if (AlgorithmFits(row.algorithm, type)) return absl::OkStatus();
    return Broken(absl::StrCat("its algorithm ", ShownMember(alg), " does not take a key of type ", KeyTypeName(type)));
  }
  return Foreign(absl::StrCat("the algorithm ", ShownMember(alg), " is not accepted here"));
}

absl::StatusOr<Jwks::Key> ReadKey(const JsonValue& jwk) {
  if (!jwk.is_object()) return Broken("is no JSON object");
  for (const absl::string_view name : {"kty", "kid", "use", "alg", "crv"}) {
    const JsonValue* member = jwk.Find(name);
    if (member != nullptr && !member->is_text()) return Broken(absl::StrCat("\"", name, "\" is no text"));
  }
  if (jwk.FindText("kty").empty()) return Broken("\"kty\" is missing");
  if (jwk.Find("d") != nullptr || jwk.Find("k") != nullptr) {
    return Broken("is a private or shared key, which must never be published: replace it at the issuer");
  }
  const absl::string_view use = jwk.FindText("use");
  if (!use.empty() && use != "sig") {
    return Foreign(absl::StrCat("is for the use ", ShownMember(use), ", not for signatures"));
  }
  MESHCA_RETURN_IF_ERROR(CheckOperations(jwk));
  MESHCA_ASSIGN_OR_RETURN(const std::string spki, SpkiOf(jwk));
  absl::StatusOr<PublicKey> key = PublicKey::FromSpki(spki);
  if (!key.ok()) return Broken(key.status().message());
  const absl::string_view alg = jwk.FindText("alg");
  MESHCA_RETURN_IF_ERROR(CheckAlgorithm(alg, key->type()));
  return Jwks::Key{std::string(jwk.FindText("kid")), std::string(alg), *std::move(key)};
}

std::string NameOf(const JsonValue& jwk, size_t place) {
  const absl::string_view kid = jwk.FindText("kid");
  return kid.empty() ? absl::StrCat("keys[", place, "]") : ShownMember(kid);
}

// r and s side by side as the SEQUENCE that X.509 and PublicKey::Verify know; "" for another length.
std::string EcdsaToDer(absl::string_view signature, size_t half) {
  if (signature.size() != 2 * half) return "";
  return der::MakeElement(der::kSequence, absl::StrCat(UnsignedInteger(signature.substr(0, half)),
                                                       UnsignedInteger(signature.substr(half))));
}

}  // namespace

bool AlgorithmFits(JwtAlgorithm algorithm, KeyType type) {
  switch (algorithm) {
    case JwtAlgorithm::kRs256:
    case JwtAlgorithm::kRs384:
    case JwtAlgorithm::kRs512:
    case JwtAlgorithm::kPs256:
    case JwtAlgorithm::kPs384:
    case JwtAlgorithm::kPs512:
      return type == KeyType::kRsa2048 || type == KeyType::kRsa3072 || type == KeyType::kRsa4096;
    case JwtAlgorithm::kEs256: return type == KeyType::kEcP256;
    case JwtAlgorithm::kEs384: return type == KeyType::kEcP384;
    case JwtAlgorithm::kEs512: return type == KeyType::kEcP521;
    case JwtAlgorithm::kEdDsa: return type == KeyType::kEd25519;
  }
  return false;
}

absl::string_view JwtAlgorithmName(JwtAlgorithm algorithm) {
  for (const AlgorithmRow& row : Rows()) {
    if (row.algorithm == algorithm) return row.name;
  }
  return "unknown";
}

absl::StatusOr<JwtAlgorithm> ParseJwtAlgorithm(absl::string_view name) {
  for (const AlgorithmRow& row : Rows()) {
    if (row.name == name) return row.algorithm;
  }
  absl::string_view why = "is not known here";
  if (absl::EqualsIgnoreCase(name, "none")) {
    why = "would leave the token unsigned";
  } else if (absl::StartsWith(name, "HS")) {
    why = "is HMAC, whose key would be a shared secret";
  }
  return WithReason(absl::UnauthenticatedError(absl::StrCat(
                        "JWT: algorithm \"", absl::Utf8SafeCHexEscape(name.substr(0, 32)), "\" ", why,
                        "; accepted are RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512 and EdDSA")),
                    "JWT_ALGORITHM_REFUSED");
}

absl::StatusOr<Jwks> Jwks::Parse(absl::string_view json) {
  auto invalid = [](absl::string_view fault) {
    return WithReason(absl::InvalidArgumentError(absl::StrCat("JWKS: ", fault)), "JWKS_INVALID");
  };
  if (json.size() > kBytesMax) return invalid(absl::StrCat(json.size(), " bytes; the most is ", kBytesMax));
  absl::StatusOr<JsonValue> root = ParseJson(json);
  if (!root.ok()) return invalid(root.status().message());
  const JsonValue* keys = root->Find("keys");
  if (keys == nullptr || keys->kind != JsonValue::Kind::kArray) return invalid("there is no list \"keys\"");
  if (keys->items.size() > kKeysMax) {
    return invalid(absl::StrCat(keys->items.size(), " keys; the most is ", kKeysMax));
  }
  Jwks set;
  for (size_t i = 0; i < keys->items.size(); ++i) {
    const JsonValue& jwk = keys->items[i];
    absl::StatusOr<Key> key = ReadKey(jwk);
    if (key.ok()) {
      set.keys_.push_back(*std::move(key));
    } else {
      set.ignored_.push_back(
          {NameOf(jwk, i), std::string(key.status().message()), absl::IsInvalidArgument(key.status())});
    }
  }
  return set;
}

std::string Jwks::IgnoredText() const {
  constexpr size_t kShownMax = 8;
  std::string text;
  for (size_t i = 0; i < std::min(ignored_.size(), kShownMax); ++i) {
    absl::StrAppend(&text, i == 0 ? "" : "; ", ignored_[i].name, ": ", ignored_[i].why);
  }
  if (ignored_.size() > kShownMax) absl::StrAppend(&text, "; and ", ignored_.size() - kShownMax, " more");
  return text;
}

Jwks::KeyRefs Jwks::Candidates(JwtAlgorithm algorithm, absl::string_view kid) const {
  KeyRefs candidates;
  for (const Key& key : keys_) {
    if (!kid.empty() && key.kid != kid) continue;
    if (!AlgorithmFits(algorithm, key.key.type())) continue;
    if (!key.alg.empty() && key.alg != JwtAlgorithmName(algorithm)) continue;
    candidates.push_back(&key);
  }
  return candidates;
}

bool VerifyJwsSignature(JwtAlgorithm algorithm, const PublicKey& key, absl::string_view message,
                        absl::string_view signature) {
  if (!AlgorithmFits(algorithm, key.type())) return false;
  std::string sequence;
  if (const size_t half = EcdsaHalf(algorithm); half != 0) {
    sequence = EcdsaToDer(signature, half);
    if (sequence.empty()) return false;
    signature = sequence;
  }
  for (const AlgorithmRow& row : Rows()) {
    if (row.algorithm == algorithm) return key.Verify(row.identifier, message, signature).ok();
  }
  return false;
}

bool VerifyJwsSha256(JwtAlgorithm algorithm, const PublicKey& key, const HashValue& sha256,
                     absl::string_view signature) {
  if (algorithm != JwtAlgorithm::kRs256 && algorithm != JwtAlgorithm::kPs256) return false;
  if (!AlgorithmFits(algorithm, key.type())) return false;
  const SignatureScheme scheme =
      algorithm == JwtAlgorithm::kRs256 ? SignatureScheme::kRsaPkcs1 : SignatureScheme::kRsaPss;
  return VerifyRsaDigest(key, {scheme, HashType::kSha256}, sha256, signature);
}

absl::StatusOr<std::string> EcdsaToJws(absl::string_view der, size_t half) {
  der::Reader outer(der);
  absl::string_view sequence, r, s;
  const bool read = outer.Read(der::kSequence, sequence) && outer.empty();
  der::Reader inner(sequence);
  if (!read || !inner.Read(der::kInteger, r) || !inner.Read(der::kInteger, s) || !inner.empty()) {
    return absl::InternalError("a signature by ECDSA is not two numbers");
  }
  std::string raw(2 * half, '\0');
  size_t end = half;
  for (absl::string_view number : {r, s}) {
    number.remove_prefix(std::min(number.find_first_not_of('\0'), number.size()));
    if (number.size() > half) return absl::InternalError("a signature by ECDSA has a number that is too long");
    raw.replace(end - number.size(), number.size(), number.data(), number.size());
    end += half;
  }
  return raw;
}

}  // namespace meshca
