// From a service account's names to its SPIFFE ID.
#ifndef MESHCA_CA_AUTHN_SERVICE_ACCOUNT_TEMPLATE_H_
#define MESHCA_CA_AUTHN_SERVICE_ACCOUNT_TEMPLATE_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/authn/claim_template.h"
#include "ca/authn/known_pods.h"
#include "ca/spiffe/spiffe_id.h"
#include "ca/spiffe/trust_domain.h"

namespace meshca {

// `spiffe://{trust_domain}/ns/{namespace}/sa/{service_account}`, by the rules of ClaimTemplate. Both names are in it,
// in segments of their own: no two accounts share an ID by it. Immutable.
class ServiceAccountTemplate {
 public:
  static constexpr absl::string_view kDefault = "spiffe://{trust_domain}/ns/{namespace}/sa/{service_account}";

  // InvalidArgument (reason TEMPLATE_INVALID) names the rule.
  static absl::StatusOr<ServiceAccountTemplate> Parse(absl::string_view text, const TrustDomain& trust_domain);

  // PermissionDenied (JWT_CLAIM_INVALID): together they are no SPIFFE ID.
  absl::StatusOr<SpiffeId> IdOf(const AccountName& account) const;

  // The account whose ID it is; nothing: it is none's.
  std::optional<AccountName> AccountOf(const SpiffeId& id) const;

  const std::string& text() const { return text_; }

 private:
  std::string text_;
  ClaimTemplate claims_;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHN_SERVICE_ACCOUNT_TEMPLATE_H_
