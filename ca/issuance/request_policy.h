// Rules of the operator's that narrow or widen what a caller may have, by SPIFFE ID.
#ifndef MESHCA_CA_ISSUANCE_REQUEST_POLICY_H_
#define MESHCA_CA_ISSUANCE_REQUEST_POLICY_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "ca/identity/caller_identity.h"
#include "ca/spiffe/spiffe_id.h"

namespace meshca {

struct IssuanceRequest;

// Thread-safe; computes only: it runs on the signing threads, once for each request.
class RequestPolicy {
 public:
  virtual ~RequestPolicy() = default;

  // May a certificate for `id` carry the DNS name, beyond what the caller's own rights say?
  virtual bool AllowsDnsName(const CallerIdentity& caller, const SpiffeId& id, absl::string_view name) const = 0;

  // Holds a judged request to the rules of its SPIFFE ID: its lifetime_max becomes the shorter one.
  // InvalidArgument (reason KEY_TYPE, names the types allowed), ResourceExhausted (reason CALLER_RATE).
  virtual absl::Status Apply(IssuanceRequest& request) = 0;
};

}  // namespace meshca

#endif  // MESHCA_CA_ISSUANCE_REQUEST_POLICY_H_
