// From a token's claims to a SPIFFE ID.
#ifndef MESHCA_CA_AUTHN_CLAIM_TEMPLATE_H_
#define MESHCA_CA_AUTHN_CLAIM_TEMPLATE_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/json/json_value.h"
#include "ca/spiffe/spiffe_id.h"
#include "ca/spiffe/trust_domain.h"

namespace meshca {

// `spiffe://{trust_domain}/ns/{claims.ns}/sa/{claims.sa}`. A claim inside a claim is reached with dots; a name that has
// a dot itself is quoted: `{claims."kubernetes.io".namespace}`. The trust domain is always the CA's own. Immutable.
class ClaimTemplate {
 public:
  ClaimTemplate() = default;

  // InvalidArgument (reason TEMPLATE_INVALID) names the rule: not `spiffe://`, another trust domain, no path, braces
  // that do not close, an unknown name in them, text that no path may have, a result that could be reserved: the first
  // segment is `meshca`, or begins with a claim (`/{claims.x}...` could spell it).
  static absl::StatusOr<ClaimTemplate> Parse(absl::string_view text, const TrustDomain& trust_domain);

  // PermissionDenied: JWT_CLAIM_MISSING (absent, or no string), JWT_CLAIM_INVALID (empty, or a byte that no path
  // segment may have, so a claim never adds a segment); names the claim.
  absl::StatusOr<SpiffeId> Expand(const JsonValue& claims) const;

  // One claim, by the names on the way to it.
  struct FoundClaim {
    bool is_there = false;
    std::optional<absl::string_view> text = std::nullopt;  // nothing: it is no string
  };
  using ClaimFinder = absl::FunctionRef<FoundClaim(const std::vector<std::string>& names)>;
  // The same for claims that are no JSON. What `find` gives has to outlive the call.
  absl::StatusOr<SpiffeId> ExpandBy(ClaimFinder find) const;

  const std::string& text() const { return text_; }

 private:
  struct Piece {
    std::string literal;             // copied; or, when `claim` is not empty, nothing
    std::vector<std::string> claim;  // the names on the way to a claim
    std::string shown;               // "claims.ns", for messages
  };
  std::string text_;
  TrustDomain trust_domain_;
  std::vector<Piece> path_;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHN_CLAIM_TEMPLATE_H_
