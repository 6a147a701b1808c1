// Whether the pod that gave a right is still there.
#ifndef MESHCA_CA_AUTHN_POD_RIGHTS_H_
#define MESHCA_CA_AUTHN_POD_RIGHTS_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "ca/authn/known_pods.h"
#include "ca/base/clock.h"
#include "ca/identity/trusted_origins.h"

namespace meshca {

// Judges by what a watch knows, and by nothing else; no matter which issuer's token gave the right, for uids are unique
// and an API server has tokens of several issuers. While the API server is away, what is known goes on counting; what
// is not known is Unavailable then, for the pod may well live; and so is what was not heard of since the certificate
// was issued, for the API server itself may have told of that pod before the watch did. A right that a node's proxy
// asked for on behalf of another account ends with the proxy's pod, with the last pod of that account on its node, and
// when the proxy's account is trusted no more. Thread-safe.
class PodRights final : public PodOriginJudge {
 public:
  // Holds `pods`, for records that wait to be written hold it. `clock` outlives it.
  PodRights(std::vector<AccountName> trusted_node_accounts, std::shared_ptr<const KnownPods> pods, const Clock& clock);

  absl::Status CheckPodOrigin(const PodOrigin& origin, absl::Time issued_at) const override;

 private:
  absl::Status CheckAccount(const AccountName& account, const std::string& uid, absl::Time issued_at) const;
  absl::Status CheckOnBehalf(const PodOrigin& origin, const KnownPod& proxy, absl::Time now,
                             absl::Time issued_at) const;
  // What is not known, and gave a certificate its right that was issued then: gone, or nobody can say.
  absl::Status NotThere(absl::string_view what, absl::Time issued_at) const;

  const std::vector<AccountName> trusted_node_accounts_;
  const std::shared_ptr<const KnownPods> pods_;
  const Clock& clock_;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHN_POD_RIGHTS_H_
