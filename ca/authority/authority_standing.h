// Whether the authorities on a client certificate's path are still believed, judged at every call: a connection may
// outlive a taint.
#ifndef MESHCA_CA_AUTHORITY_AUTHORITY_STANDING_H_
#define MESHCA_CA_AUTHORITY_AUTHORITY_STANDING_H_

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/authority/authority_snapshot.h"
#include "ca/x509/chain_verifier.h"
#include "ca/x509/path_standing.h"

namespace meshca {

// The rules, on the authorities of the moment:
//   - the path ends in a root of the bundle, no authority on it is retired, no certificate of it has ended;
//   - a taint refuses nobody, because the honest holders renew away from it: the inventory tells them from a thief;
//   - an authority that is not ours by its id (an upstream CA's, one that a thief signed) is left to the inventory too;
//   - the inventory may lack a certificate only during UnrecordedGrace, signed by one of its authorities itself, and
//     never where an authority on the path is tainted.
// Thread-safe; computes only.
class AuthorityStanding final : public PathStanding {
 public:
  // `authorities` outlives it.
  explicit AuthorityStanding(const AuthoritySnapshots& authorities) : authorities_(authorities) {}

  absl::StatusOr<Verdict> JudgePath(const VerifiedPeer& peer, absl::Time now) const override;

  // The same on one snapshot; pure.
  static absl::StatusOr<Verdict> JudgePath(const AuthoritySnapshot& snapshot, const VerifiedPeer& peer, absl::Time now);

 private:
  const AuthoritySnapshots& authorities_;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_AUTHORITY_STANDING_H_
