#include "ca/jwt/jwt_svid.h"

#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ca/base/printable.h"
#include "ca/base/status.h"
#include "ca/jwt/base64url.h"
#include "ca/jwt/jwks.h"
#include "ca/jwt/jwt.h"

namespace meshca {
namespace {

absl::Status RefusedSvid(absl::string_view reason, absl::string_view sentence) {
  return WithReason(absl::UnauthenticatedError(absl::StrCat("JWT-SVID: ", sentence)), reason);
}

// Whatever stands in a token was written by a stranger: cut short and escaped.
std::string Shown(absl::string_view text) {
  return absl::StrCat("\"", absl::Utf8SafeCHexEscape(text.substr(0, 100)), text.size() > 100 ? "..." : "", "\"");
}

// JWT-SVID §2.1: RFC 7518 §3.3, §3.4 and §3.5, so not EdDSA, which tokens of other issuers may have.
bool IsJwtSvidAlgorithm(absl::string_view name) {
  return name.size() == 5 &&
         (absl::StartsWith(name, "RS") || absl::StartsWith(name, "ES") || absl::StartsWith(name, "PS")) &&
         (absl::EndsWith(name, "256") || absl::EndsWith(name, "384") || absl::EndsWith(name, "512"));
}

// JWT-SVID §2: a header that the standard does not describe must not be there, whatever it means elsewhere. A jwk, jku
// or x5c in it would be a key of the sender's own choice.
absl::Status CheckSvidHeader(absl::string_view token) {
  const std::optional<std::string> text = Base64UrlDecode(token.substr(0, token.find('.')));
  if (!text.has_value()) return RefusedSvid("JWT_MALFORMED", "its header is not base64url");
  absl::StatusOr<JsonValue> header = ParseJson(*text);
  if (!header.ok()) return RefusedSvid("JWT_MALFORMED", absl::StrCat("its header: ", header.status().message()));
  for (const JsonMember& member : header->members) {
    if (member.name == "alg" || member.name == "kid" || member.name == "typ") continue;
    return RefusedSvid("JWT_HEADER_REFUSED",
                       absl::StrCat("its header has ", Shown(member.name), "; only alg, kid and typ may be there"));
  }
  const JsonValue* typ = header->Find("typ");
  if (typ != nullptr && typ->text != "JWT" && typ->text != "JOSE") {
    return RefusedSvid("JWT_TYPE_REFUSED", absl::StrCat("its type (typ) is ", Shown(typ->text),
                                                        "; accepted are JWT and JOSE, or none at all"));
  }
  const absl::string_view alg = header->FindText("alg");
  if (!alg.empty() && !IsJwtSvidAlgorithm(alg)) {
    return RefusedSvid("JWT_ALGORITHM_REFUSED",
                       absl::StrCat("its algorithm is ", Shown(alg),
                                    "; accepted are RS256, RS384, RS512, ES256, ES384, ES512, PS256, PS384 and PS512"));
  }
  return absl::OkStatus();
}

// Who `jwt` says it is, if that is a SPIFFE ID at all.
absl::StatusOr<SpiffeId> SubjectOf(const Jwt& jwt) {
  if (jwt.claims().Find("sub") == nullptr) return RefusedSvid("JWT_SUBJECT_REFUSED", "it has no subject (sub)");
  absl::StatusOr<SpiffeId> id = SpiffeId::Parse(jwt.subject());
  if (!id.ok()) {
    return RefusedSvid("JWT_SUBJECT_REFUSED",
                       absl::StrCat("its subject (sub) is no SPIFFE ID: ", id.status().message()));
  }
  return id;
}

// The key that `proof` names among those of the subject's trust domain.
absl::StatusOr<const JwtKey*> NamedKey(const JwtProof& proof, const SpiffeId& id, JwtKeysOf keys_of) {
  const std::vector<JwtKey>* keys = keys_of(id.trust_domain());
  if (keys == nullptr) {
    return RefusedSvid("JWT_SUBJECT_REFUSED", absl::StrCat("its subject (sub) is of the trust domain ",
                                                           id.trust_domain_name(), ", whose keys are not known here"));
  }
  if (proof.kid.empty()) return RefusedSvid("JWT_UNKNOWN_KEY", "its header names no key (kid)");
  for (const JwtKey& key : *keys) {
    if (key.key_id == proof.kid) return &key;
  }
  return RefusedSvid("JWT_UNKNOWN_KEY",
                     absl::StrCat("the trust domain ", id.trust_domain_name(), " has no key ", Shown(proof.kid)));
}

}  // namespace

absl::Status CheckJwtAudiences(const std::vector<std::string>& audiences) {
  const auto invalid = [](absl::string_view sentence) {
    return WithReason(absl::InvalidArgumentError(absl::StrCat("audience: ", sentence)), "JWT_AUDIENCE_INVALID");
  };
  if (audiences.empty()) return invalid("none is named; name whom the token is for");
  if (audiences.size() > kJwtAudiencesMax) {
    return invalid(absl::StrCat(audiences.size(), " are named; the most is ", kJwtAudiencesMax));
  }
  for (const std::string& audience : audiences) {
    if (audience.empty()) return invalid("one is empty");
    if (audience.size() > kJwtAudienceBytesMax) {
      return invalid(
          absl::StrCat(Shown(audience), " has ", audience.size(), " bytes; the most is ", kJwtAudienceBytesMax));
    }
    // Text that looks like another on a screen, or is no text, belongs into no list of who may be called.
    if (Printable(audience) != audience) {
      return invalid(absl::StrCat(Shown(audience), " has characters that cannot be shown, or is not UTF-8"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> MintJwtSvid(const JwtSvidClaims& claims, const SigningKey& key, absl::string_view key_id) {
  if (key.public_key().type() != KeyType::kEcP256) {
    return absl::InternalError(absl::StrCat("JWT-SVIDs are signed by ES256, which takes no key of type ",
                                            KeyTypeName(key.public_key().type())));
  }
  const std::string header = absl::StrCat(R"({"alg":"ES256","kid":")", key_id, R"(","typ":"JWT"})");
  const std::string payload = absl::StrCat(
      R"({"sub":)", JsonString(claims.subject.uri()), R"(,"aud":[)",
      absl::StrJoin(claims.audiences, ",",
                    [](std::string* out, absl::string_view audience) { absl::StrAppend(out, JsonString(audience)); }),
      R"(],"exp":)", absl::ToUnixSeconds(claims.expires_at), R"(,"iat":)", absl::ToUnixSeconds(claims.issued_at), "}");
  std::string token = absl::StrCat(absl::WebSafeBase64Escape(header), ".", absl::WebSafeBase64Escape(payload));
  MESHCA_ASSIGN_OR_RETURN(const std::string der, key.Sign(token));
  MESHCA_ASSIGN_OR_RETURN(const std::string signature, EcdsaToJws(der, 32));
  absl::StrAppend(&token, ".", absl::WebSafeBase64Escape(signature));
  return token;
}

absl::StatusOr<ValidJwtSvid> ValidateJwtSvid(absl::string_view token, absl::string_view audience, JwtKeysOf keys_of,
                                             absl::Time now) {
  if (audience.empty()) {
    return WithReason(absl::InvalidArgumentError("audience: it is empty; name whom the token must be for"),
                      "JWT_AUDIENCE_INVALID");
  }
  // Before anything is decoded: the header alone may be of any size.
  if (token.size() <= Jwt::kBytesMax) MESHCA_RETURN_IF_ERROR(CheckSvidHeader(token));
  MESHCA_ASSIGN_OR_RETURN(const Jwt jwt, Jwt::Parse(token));
  MESHCA_ASSIGN_OR_RETURN(SpiffeId id, SubjectOf(jwt));
  MESHCA_ASSIGN_OR_RETURN(const JwtKey* const key, NamedKey(jwt.proof(), id, keys_of));
  MESHCA_RETURN_IF_ERROR(jwt.CheckAudience({std::string(audience)}));
  MESHCA_RETURN_IF_ERROR(jwt.CheckTimes(now));
  if (!AlgorithmFits(jwt.algorithm(), key->key.type())) {
    return RefusedSvid("JWT_UNKNOWN_KEY", absl::StrCat("the key ", Shown(key->key_id), " does not sign by ",
                                                       JwtAlgorithmName(jwt.algorithm())));
  }
  if (!VerifyJwsSignature(jwt.algorithm(), key->key, jwt.proof().signing_input, jwt.proof().signature)) {
    return JwtProof::SignatureInvalid();
  }
  return ValidJwtSvid{std::move(id), jwt.audiences(), jwt.expires(), jwt.claims()};
}

}  // namespace meshca
