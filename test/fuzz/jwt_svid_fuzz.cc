// Links: ca_jwt
// A JWT-SVID as strangers send it. The first byte chooses who signs: a token whose header and claims the rest of the
// input are is signed here, so that the rules behind the signature are reached too; or the rest is the token as it
// came.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/base/check.h"
#include "ca/base/status.h"
#include "ca/jwt/jwks.h"
#include "ca/jwt/jwt_svid.h"

namespace {

constexpr char kAudience[] = "db";

// The trust domain's only key: made once, for the whole run.
const meshca::SoftwareKey& Key() {
  static const auto* const key = meshca::SoftwareKey::Generate(meshca::KeyType::kEcP256).value().release();
  return *key;
}

std::string SignedToken(absl::string_view header_and_claims) {
  const size_t line = std::min(header_and_claims.find('\n'), header_and_claims.size());
  const absl::string_view claims = header_and_claims.substr(std::min(line + 1, header_and_claims.size()));
  const std::string input = absl::StrCat(absl::WebSafeBase64Escape(header_and_claims.substr(0, line)), ".",
                                         absl::WebSafeBase64Escape(claims));
  const std::string signature = meshca::EcdsaToJws(Key().Sign(input).value(), 32).value();
  return absl::StrCat(input, ".", absl::WebSafeBase64Escape(signature));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const absl::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string token = data[0] == 's' ? SignedToken(rest) : std::string(rest);
  const std::vector<meshca::JwtKey> keys = {{"k1", Key().public_key()}};
  const auto keys_of = [&keys](const meshca::TrustDomain& domain) {
    return domain.name() == "cluster.local" ? &keys : nullptr;
  };
  const absl::Time now = absl::FromUnixSeconds(1767323045);
  const auto svid = meshca::ValidateJwtSvid(token, kAudience, keys_of, now);
  if (!svid.ok()) {
    MESHCA_CHECK(svid.status().code() == absl::StatusCode::kUnauthenticated);
    MESHCA_CHECK(absl::StartsWith(meshca::ReasonOf(svid.status()), "JWT_"));
    MESHCA_CHECK(svid.status().message().size() < 4000);
    return 0;
  }
  // Whatever was accepted is of our trust domain, for us, not ended, and signed: the raw bytes never are.
  MESHCA_CHECK(data[0] == 's');
  MESHCA_CHECK(svid->id.trust_domain_name() == "cluster.local");
  MESHCA_CHECK(std::find(svid->audiences.begin(), svid->audiences.end(), kAudience) != svid->audiences.end());
  MESHCA_CHECK(svid->expires_at > now - absl::Minutes(2));
  MESHCA_CHECK(svid->claims.is_object());
  return 0;
}
