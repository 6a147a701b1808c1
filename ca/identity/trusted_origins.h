// What can still give a right, as far as it lies outside of the store.
#ifndef MESHCA_CA_IDENTITY_TRUSTED_ORIGINS_H_
#define MESHCA_CA_IDENTITY_TRUSTED_ORIGINS_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ca/identity/pod_origin.h"

namespace meshca {

// Thread-safe; computes only: it is asked inside the transactions of the store.
class PodOriginJudge {
 public:
  virtual ~PodOriginJudge() = default;

  // Is what gave the right still there? `issued_at` is when the certificate was issued that is to be renewed: what is
  // known may be older than that. PermissionDenied says what is gone; Unavailable: nobody can say for now.
  virtual absl::Status CheckPodOrigin(const PodOrigin& origin, absl::Time issued_at) const = 0;
};

// A value.
struct TrustedOrigins {
  std::vector<std::string> jwt_issuers;        // those that are configured
  std::shared_ptr<const PodOriginJudge> pods;  // null: no cluster is configured, so that none of its pods has a right

  friend bool operator==(const TrustedOrigins&, const TrustedOrigins&) = default;
};

}  // namespace meshca

#endif  // MESHCA_CA_IDENTITY_TRUSTED_ORIGINS_H_
