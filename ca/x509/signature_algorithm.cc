#include "ca/x509/signature_algorithm.h"

#include <optional>

#include <openssl/rsa.h>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ca/base/openssl_ptr.h"
#include "ca/base/status.h"
#include "ca/x509/der.h"
#include "ca/x509/oids.h"

namespace meshca {
namespace {

absl::Status Weak(absl::string_view name) {
  return WithReason(absl::InvalidArgumentError(
                        absl::StrCat("signature algorithm ", name, " is too weak: sign with SHA-256 or better")),
                    "SIGNATURE_WEAK");
}

absl::Status Unsupported(absl::string_view what) {
  return WithReason(absl::InvalidArgumentError(absl::StrCat("signature algorithm ", what, " is not supported")),
                    "SIGNATURE_UNSUPPORTED");
}

absl::StatusOr<HashType> PssHash(int nid) {
  switch (nid) {
    case NID_sha256: return HashType::kSha256;
    case NID_sha384: return HashType::kSha384;
    case NID_sha512: return HashType::kSha512;
    case NID_sha1:
    case NID_md5:
    case NID_sha224: return Weak("RSA-PSS with a hash below SHA-256");
    default: return Unsupported("RSA-PSS with an unknown hash");
  }
}

absl::StatusOr<SignatureAlgorithm> ReadPss(absl::string_view parameters) {
  using PssParamsPtr = OpenSslPtr<RSA_PSS_PARAMS, RSA_PSS_PARAMS_free>;
  const auto* at = reinterpret_cast<const unsigned char*>(parameters.data());
  const unsigned char* const end = at + parameters.size();
  PssParamsPtr pss(d2i_RSA_PSS_PARAMS(nullptr, &at, static_cast<long>(parameters.size())));
  if (pss == nullptr || at != end) {
    OpenSslError("RSA_PSS_PARAMS").IgnoreError();
    return Unsupported("RSA-PSS with unreadable parameters");
  }
  // The defaults are SHA-1 (RFC 4055 §3.1), so nothing may be left out.
  if (pss->hashAlgorithm == nullptr) return Weak("RSA-PSS with SHA-1");
  MESHCA_ASSIGN_OR_RETURN(const HashType hash, PssHash(OBJ_obj2nid(pss->hashAlgorithm->algorithm)));
  const int salt = pss->saltLength == nullptr ? 20 : static_cast<int>(ASN1_INTEGER_get(pss->saltLength));
  const int salt_wanted = EVP_MD_get_size(HashAlgorithm(hash));
  using AlgorPtr = OpenSslPtr<X509_ALGOR, X509_ALGOR_free>;
  AlgorPtr mask;
  if (pss->maskGenAlgorithm != nullptr && pss->maskGenAlgorithm->parameter != nullptr &&
      OBJ_obj2nid(pss->maskGenAlgorithm->algorithm) == NID_mgf1) {
    mask.reset(static_cast<X509_ALGOR*>(
        ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(X509_ALGOR), pss->maskGenAlgorithm->parameter)));
  }
  const bool same_mask_hash =
      mask != nullptr && OBJ_obj2nid(mask->algorithm) == OBJ_obj2nid(pss->hashAlgorithm->algorithm);
  const bool trailer_is_one = pss->trailerField == nullptr || ASN1_INTEGER_get(pss->trailerField) == 1;
  if (salt != salt_wanted || !same_mask_hash || !trailer_is_one) {
    OpenSslError("RSA_PSS_PARAMS").IgnoreError();
    return Unsupported("RSA-PSS with other than MGF1, one hash and a salt as long as the hash");
  }
  return SignatureAlgorithm{SignatureScheme::kRsaPss, hash};
}

// 1.2.840.113549.1.1.`last`; nothing for PSS, which has parameters of its own.
absl::StatusOr<SignatureAlgorithm> ReadPkcs1(uint8_t last) {
  switch (last) {
    case 2: return Weak("RSA with MD2");
    case 4: return Weak("RSA with MD5");
    case 5: return Weak("RSA with SHA-1");
    case 14: return Weak("RSA with SHA-224");
    case 11: return SignatureAlgorithm{SignatureScheme::kRsaPkcs1, HashType::kSha256};
    case 12: return SignatureAlgorithm{SignatureScheme::kRsaPkcs1, HashType::kSha384};
    case 13: return SignatureAlgorithm{SignatureScheme::kRsaPkcs1, HashType::kSha512};
    default: return Unsupported(absl::StrCat("1.2.840.113549.1.1.", last));
  }
}

absl::StatusOr<SignatureAlgorithm> ReadWithoutParameters(absl::string_view oid) {
  if (oid == oid::kEcdsaWithSha256) return SignatureAlgorithm{SignatureScheme::kEcdsa, HashType::kSha256};
  if (oid == oid::kEcdsaWithSha384) return SignatureAlgorithm{SignatureScheme::kEcdsa, HashType::kSha384};
  if (oid == oid::kEcdsaWithSha512) return SignatureAlgorithm{SignatureScheme::kEcdsa, HashType::kSha512};
  if (oid == oid::kEd25519) return SignatureAlgorithm{SignatureScheme::kEd25519, HashType::kSha512};
  if (oid == oid::kEcdsaWithSha1) return Weak("ECDSA with SHA-1");
  if (oid == oid::kEcdsaWithSha224) return Weak("ECDSA with SHA-224");
  const std::string text = der::OidText(oid);
  // DSA with SHA-1 or SHA-2; the key is refused too, but the signature is looked at first.
  if (text == "1.2.840.10040.4.3" || absl::StartsWith(text, "2.16.840.1.101.3.4.3.")) return Weak("DSA");
  return Unsupported(text);
}

}  // namespace

absl::StatusOr<SignatureAlgorithm> ReadSignatureAlgorithm(absl::string_view algorithm) {
  der::Reader outer(algorithm);
  absl::string_view content, oid;
  if (!outer.Read(der::kSequence, content) || !outer.empty()) return Unsupported("(unreadable)");
  der::Reader reader(content);
  if (!reader.Read(der::kOid, oid) || !der::IsOid(oid)) return Unsupported("(unreadable)");
  const absl::string_view parameters = reader.rest();
  if (oid.size() == oid::kPkcs1.size() + 1 && absl::StartsWith(oid, oid::kPkcs1)) {
    const uint8_t last = static_cast<uint8_t>(oid.back());
    if (last == 10) return ReadPss(parameters);
    // NULL by RFC 4055 §5; left out by some encoders, and OpenSSL does not mind either.
    if (!parameters.empty() && parameters != absl::string_view("\x05\x00", 2)) return Unsupported("(RSA parameters)");
    return ReadPkcs1(last);
  }
  if (!parameters.empty()) {
    const absl::StatusOr<SignatureAlgorithm> named = ReadWithoutParameters(oid);
    if (!named.ok()) return named.status();
    return Unsupported(absl::StrCat(der::OidText(oid), " with parameters"));
  }
  return ReadWithoutParameters(oid);
}

}  // namespace meshca
