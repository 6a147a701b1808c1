// Links: ca_authn
// Token and key set as strangers send them: the first line is the token, the rest the issuer's JWKS.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/authn/claim_template.h"
#include "ca/base/check.h"
#include "ca/base/status.h"
#include "ca/jwt/jwks.h"
#include "ca/jwt/jwt.h"

namespace {

using meshca::ReasonOf;

const meshca::ClaimTemplate& Template() {
  static const meshca::ClaimTemplate parsed =
      meshca::ClaimTemplate::Parse("spiffe://{trust_domain}/ns/{claims.ns}/sa/{claims.\"a.b\".sa}",
                                   meshca::TrustDomain::Parse("cluster.local").value())
          .value();
  return parsed;
}

void CheckRefusal(const absl::Status& status, absl::StatusCode code) {
  if (status.ok()) return;
  MESHCA_CHECK(status.code() == code);
  MESHCA_CHECK(!ReasonOf(status).empty());
  MESHCA_CHECK(status.message().size() < 4000);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  const size_t line = std::min(bytes.find('\n'), bytes.size());
  const absl::string_view token = bytes.substr(0, line);

  const absl::StatusOr<meshca::Jwks> keys = meshca::Jwks::Parse(bytes.substr(std::min(line + 1, bytes.size())));
  CheckRefusal(keys.status(), absl::StatusCode::kInvalidArgument);
  const absl::StatusOr<meshca::Jwt> jwt = meshca::Jwt::Parse(token);
  CheckRefusal(jwt.status(), absl::StatusCode::kUnauthenticated);
  if (!jwt.ok()) return 0;

  const absl::Time now = absl::FromUnixSeconds(1767323045);
  CheckRefusal(jwt->CheckClaims("https://issuer.test", {"istio-ca"}, now), absl::StatusCode::kUnauthenticated);
  if (keys.ok()) CheckRefusal(jwt->proof().Verify(*keys), absl::StatusCode::kUnauthenticated);
  const absl::StatusOr<meshca::SpiffeId> id = Template().Expand(jwt->claims());
  CheckRefusal(id.status(), absl::StatusCode::kPermissionDenied);
  // Whatever the claims: four segments, in our trust domain, never one of meshca's own.
  if (id.ok()) {
    const absl::string_view path = id->path();
    MESHCA_CHECK(id->trust_domain_name() == "cluster.local" && !id->IsReserved());
    MESHCA_CHECK(std::count(path.begin(), path.end(), '/') == 4);
  }
  return 0;
}
