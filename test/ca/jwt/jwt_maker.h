// Makes tokens for tests, good and bad.
#ifndef MESHCA_TEST_CA_JWT_JWT_MAKER_H_
#define MESHCA_TEST_CA_JWT_JWT_MAKER_H_

#include <memory>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/x509/signing_key.h"

namespace meshca {

inline const absl::Time kJwtNow = absl::FromUnixSeconds(1767323045);

// The claims of a token that is good at kJwtNow for an hour, as JSON; `more` is put before the end.
inline std::string ValidClaims(absl::string_view more = "") {
  return absl::StrCat(
      R"({"iss":"https://issuer.test","sub":"web","aud":["istio-ca"],"iat":1767323045,"nbf":1767323045,)",
      R"("exp":1767326645,"ns":"default","sa":"web")", more, "}");
}

// An issuer with one P-256 key.
class JwtMaker {
 public:
  explicit JwtMaker(std::string kid = "k1")
      : kid_(std::move(kid)), key_(SoftwareKey::Generate(KeyType::kEcP256).value()) {}

  std::string Jwk() const {
    const absl::string_view spki = key_->public_key().spki();
    const absl::string_view point = spki.substr(spki.size() - 64);
    return absl::StrCat(R"({"kty":"EC","crv":"P-256","use":"sig","kid":")", kid_, R"(","x":")",
                        absl::WebSafeBase64Escape(point.substr(0, 32)), R"(","y":")",
                        absl::WebSafeBase64Escape(point.substr(32)), R"("})");
  }
  std::string JwksText() const { return absl::StrCat(R"({"keys":[)", Jwk(), "]}"); }

  // ES256 over any header and payload.
  std::string Sign(absl::string_view header, absl::string_view payload) const {
    const std::string input = absl::StrCat(absl::WebSafeBase64Escape(header), ".", absl::WebSafeBase64Escape(payload));
    return absl::StrCat(input, ".", absl::WebSafeBase64Escape(RawSignature(key_->Sign(input).value())));
  }
  std::string Token(absl::string_view claims) const {
    return Sign(absl::StrCat(R"({"alg":"ES256","typ":"JWT","kid":")", kid_, R"("})"), claims);
  }

 private:
  // SEQUENCE { INTEGER r, INTEGER s } as 64 bytes.
  static std::string RawSignature(absl::string_view der) {
    std::string raw;
    size_t at = 2;
    for (int i = 0; i < 2; ++i) {
      const size_t size = static_cast<unsigned char>(der[at + 1]);
      std::string number(der.substr(at + 2, size));
      number = number.size() > 32 ? number.substr(number.size() - 32) : std::string(32 - number.size(), '\0') + number;
      raw += number;
      at += 2 + size;
    }
    return raw;
  }

  const std::string kid_;
  const std::unique_ptr<SoftwareKey> key_;
};

}  // namespace meshca

#endif  // MESHCA_TEST_CA_JWT_JWT_MAKER_H_
