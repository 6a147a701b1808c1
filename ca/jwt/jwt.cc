#include "ca/jwt/jwt.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ca/base/status.h"
#include "ca/base/utc_text.h"
#include "ca/jwt/base64url.h"

namespace meshca {
namespace {

constexpr size_t kAudiencesMax = 64;

absl::Status RefusedJwt(absl::string_view reason, absl::string_view sentence) {
  return WithReason(absl::UnauthenticatedError(absl::StrCat("JWT: ", sentence)), reason);
}

absl::Status Malformed(absl::string_view sentence) { return RefusedJwt("JWT_MALFORMED", sentence); }

// Claims are quoted back to whoever sent them, and go to the log: cut short and escaped.
std::string Quoted(absl::string_view text) {
  return absl::StrCat("\"", absl::Utf8SafeCHexEscape(text.substr(0, 100)), text.size() > 100 ? "..." : "", "\"");
}

absl::StatusOr<JsonValue> DecodeObject(absl::string_view part, absl::string_view name) {
  const std::optional<std::string> json = Base64UrlDecode(part);
  if (!json.has_value()) return Malformed(absl::StrCat("its ", name, " is not base64url"));
  absl::StatusOr<JsonValue> value = ParseJson(*json);
  if (!value.ok()) return Malformed(absl::StrCat("its ", name, ": ", value.status().message()));
  if (!value->is_object()) return Malformed(absl::StrCat("its ", name, " is no JSON object"));
  return value;
}

// A token that says it is a logout notice, a security event or a proof of possession is signed by the same key and says
// nothing about who calls (RFC 8725 §2.8). JOSE is what RFC 7515 §4.1.9 calls this serialization; at+jwt is an access
// token (RFC 9068). Most tokens have no typ.
absl::Status CheckType(const JsonValue& header) {
  const JsonValue* typ = header.Find("typ");
  if (typ == nullptr) return absl::OkStatus();
  if (!typ->is_text()) return Malformed("its header's typ is no text");
  absl::string_view name = typ->text;
  constexpr absl::string_view kPrefix = "application/";
  if (absl::StartsWithIgnoreCase(name, kPrefix)) name.remove_prefix(kPrefix.size());
  for (const absl::string_view taken : {"JWT", "JOSE", "at+jwt"}) {
    if (absl::EqualsIgnoreCase(name, taken)) return absl::OkStatus();
  }
  return RefusedJwt("JWT_TYPE_REFUSED", absl::StrCat("its type is ", Quoted(typ->text),
                                                     "; accepted are JWT, JOSE, at+jwt, or none at all"));
}

// A NumericDate (RFC 7519 §2): seconds since 1970, perhaps with a fraction. Nothing: absent.
absl::StatusOr<std::optional<absl::Time>> TimeClaim(const JsonValue& claims, absl::string_view name) {
  const JsonValue* value = claims.Find(name);
  if (value == nullptr) return std::optional<absl::Time>();
  // Until the year 9999, so that sums with the leeway stay finite.
  if (value->kind != JsonValue::Kind::kNumber || value->number < 0 || value->number > 253402300799.0) {
    return Malformed(absl::StrCat("claim \"", name, "\" is no time in seconds"));
  }
  return std::optional<absl::Time>(absl::UnixEpoch() + absl::Seconds(value->number));
}

struct Parts {
  absl::string_view header;
  absl::string_view payload;
  absl::string_view signature;
};

absl::StatusOr<Parts> CutIntoParts(absl::string_view token) {
  const size_t first = token.find('.');
  const size_t second = first == absl::string_view::npos ? first : token.find('.', first + 1);
  if (second == absl::string_view::npos || token.find('.', second + 1) != absl::string_view::npos) {
    if (std::count(token.begin(), token.end(), '.') == 4) return Malformed("it is encrypted (JWE); send a signed one");
    return Malformed("it is not three parts with a dot between");
  }
  return Parts{token.substr(0, first), token.substr(first + 1, second - first - 1), token.substr(second + 1)};
}

// What a header says that has passed.
struct Header {
  JwtAlgorithm algorithm = JwtAlgorithm::kRs256;
  std::string kid;
};

absl::StatusOr<Header> ReadHeader(absl::string_view encoded) {
  MESHCA_ASSIGN_OR_RETURN(const JsonValue header, DecodeObject(encoded, "header"));
  if (header.Find("crit") != nullptr) {
    return Malformed("its header has critical extensions (crit), of which none is known here");  // RFC 7515 §4.1.11
  }
  const JsonValue* alg = header.Find("alg");
  if (alg == nullptr || !alg->is_text()) return Malformed("its header names no algorithm (alg)");
  const JsonValue* kid = header.Find("kid");
  if (kid != nullptr && !kid->is_text()) return Malformed("its header's kid is no text");
  MESHCA_RETURN_IF_ERROR(CheckType(header));
  Header read;
  MESHCA_ASSIGN_OR_RETURN(read.algorithm, ParseJwtAlgorithm(alg->text));
  if (kid != nullptr) read.kid = kid->text;
  return read;
}

// All tokens that an issuer signs by one key have one header, byte for byte, and to read it takes a fifth of what it
// takes to read the token. So a thread keeps what it read last; a header that was refused is read again.
absl::StatusOr<Header> ReadOrRecallHeader(absl::string_view encoded) {
  constexpr size_t kKeptBytesMax = 512;
  struct Kept {
    std::string encoded;  // "": none
    Header header;
  };
  static thread_local Kept kept;
  if (!encoded.empty() && encoded == kept.encoded) return kept.header;
  absl::StatusOr<Header> read = ReadHeader(encoded);
  if (read.ok() && encoded.size() <= kKeptBytesMax) kept = {std::string(encoded), *read};
  return read;
}

}  // namespace

absl::StatusOr<Jwt> Jwt::Parse(absl::string_view token, const JwtDigest* digest) {
  if (token.size() > kBytesMax) {
    return Malformed(absl::StrCat("it has ", token.size(), " bytes; the most is ", kBytesMax));
  }
  MESHCA_ASSIGN_OR_RETURN(const Parts parts, CutIntoParts(token));
  Jwt jwt;
  MESHCA_ASSIGN_OR_RETURN(Header header, ReadOrRecallHeader(parts.header));
  MESHCA_ASSIGN_OR_RETURN(jwt.claims_, DecodeObject(parts.payload, "payload"));
  std::optional<std::string> signature = Base64UrlDecode(parts.signature);
  if (!signature.has_value()) return Malformed("its signature is not base64url");
  if (signature->empty()) return Malformed("it has no signature");
  jwt.proof_.algorithm = header.algorithm;
  jwt.proof_.kid = std::move(header.kid);
  jwt.proof_.signing_input = std::string(token.substr(0, parts.header.size() + 1 + parts.payload.size()));
  if (digest != nullptr) jwt.proof_.signing_sha256 = digest->signing_input;
  jwt.proof_.signature = *std::move(signature);
  return jwt;
}

std::vector<std::string> Jwt::audiences() const {
  std::vector<std::string> audiences;
  const JsonValue* aud = claims_.Find("aud");
  if (aud == nullptr) return audiences;
  if (aud->is_text()) audiences.push_back(aud->text);
  for (const JsonValue& item : aud->items) {
    if (item.is_text() && audiences.size() < kAudiencesMax) audiences.push_back(item.text);
  }
  return audiences;
}

absl::Time Jwt::expires() const {
  const auto exp = TimeClaim(claims_, "exp");
  return exp.ok() ? exp->value_or(absl::InfinitePast()) : absl::InfinitePast();
}

absl::StatusOr<Jwks::KeyRefs> JwtProof::FindKeys(const Jwks& keys) const {
  Jwks::KeyRefs candidates = keys.Candidates(algorithm, kid);
  if (candidates.empty()) {
    return RefusedJwt("JWT_UNKNOWN_KEY",
                      kid.empty()
                          ? absl::StrCat("the issuer has no key for ", JwtAlgorithmName(algorithm))
                          : absl::StrCat("the issuer has no key ", Quoted(kid), " for ", JwtAlgorithmName(algorithm)));
  }
  if (candidates.size() > kCandidatesMax) {
    return RefusedJwt(
        "JWT_KEY_AMBIGUOUS",
        absl::StrCat(candidates.size(), " of the issuer's keys may have signed it by ", JwtAlgorithmName(algorithm),
                     ", and at most ", kCandidatesMax,
                     " are tried; the issuer must name the key in each token (kid), each by a name of its own"));
  }
  return candidates;
}

absl::Status JwtProof::Verify(const Jwks& keys) const {
  MESHCA_ASSIGN_OR_RETURN(const Jwks::KeyRefs candidates, FindKeys(keys));
  for (const Jwks::Key* candidate : candidates) {
    if (IsSignedBy(candidate->key)) return absl::OkStatus();
  }
  return SignatureInvalid();
}

bool JwtProof::IsSignedBy(const PublicKey& key) const {
  const bool over_sha256 = algorithm == JwtAlgorithm::kRs256 || algorithm == JwtAlgorithm::kPs256;
  if (over_sha256 && signing_sha256.has_value()) return VerifyJwsSha256(algorithm, key, *signing_sha256, signature);
  return VerifyJwsSignature(algorithm, key, signing_input, signature);
}

absl::Status JwtProof::SignatureInvalid() {
  return RefusedJwt("JWT_SIGNATURE_INVALID", "the signature does not fit the issuer's key");
}

absl::Status Jwt::CheckClaims(absl::string_view issuer, const std::vector<std::string>& audiences,
                              absl::Time now) const {
  if (this->issuer() != issuer) {
    return RefusedJwt("JWT_WRONG_ISSUER",
                      absl::StrCat("its issuer is ", Quoted(this->issuer()), ", not ", Quoted(issuer)));
  }
  MESHCA_RETURN_IF_ERROR(CheckAudience(audiences));
  return CheckTimes(now);
}

absl::Status Jwt::CheckAudience(const std::vector<std::string>& accepted) const {
  const std::vector<std::string> found = audiences();
  if (std::find_first_of(found.begin(), found.end(), accepted.begin(), accepted.end()) != found.end()) {
    return absl::OkStatus();
  }
  return RefusedJwt("JWT_WRONG_AUDIENCE",
                    absl::StrCat("its audience is ", found.empty() ? "missing" : Quoted(absl::StrJoin(found, ", ")),
                                 "; accepted: ", absl::StrJoin(accepted, ", ")));
}

absl::Status Jwt::CheckTimes(absl::Time now) const {
  MESHCA_ASSIGN_OR_RETURN(const std::optional<absl::Time> exp, TimeClaim(claims_, "exp"));
  MESHCA_ASSIGN_OR_RETURN(const std::optional<absl::Time> nbf, TimeClaim(claims_, "nbf"));
  MESHCA_ASSIGN_OR_RETURN(const std::optional<absl::Time> iat, TimeClaim(claims_, "iat"));
  if (!exp.has_value()) return Malformed("it has no expiry (exp); one that never ends is not accepted");
  if (now >= *exp + kLeeway) return RefusedJwt("JWT_EXPIRED", absl::StrCat("it expired at ", Rfc3339Text(*exp)));
  for (const auto& [time, name] : {std::pair(nbf, "nbf"), std::pair(iat, "iat")}) {
    if (time.has_value() && now < *time - kLeeway) {
      return RefusedJwt("JWT_NOT_YET_VALID", absl::StrCat("it is not valid before ", Rfc3339Text(*time), " (", name,
                                                          "); the server's clock says ", Rfc3339Text(now)));
    }
  }
  return absl::OkStatus();
}

bool LooksLikeJwt(absl::string_view text) {
  // {" and { with white space behind it, as base64url begins them.
  return absl::StartsWith(text, "ey") || absl::StartsWith(text, "ew") || std::count(text.begin(), text.end(), '.') == 2;
}

}  // namespace meshca
