// Judges whether the authorities on a client certificate's path are still believed. This is asked again at every call,
// because an authority may be tainted or retired while a connection is open.
#ifndef MESHCA_CA_AUTHORITY_AUTHORITY_STANDING_H_
#define MESHCA_CA_AUTHORITY_AUTHORITY_STANDING_H_

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/authority/authority_snapshot.h"
#include "ca/x509/chain_verifier.h"
#include "ca/x509/path_standing.h"

namespace meshca {

// The rules, applied to the present snapshot:
//   - The path must end in a root of the bundle, no authority on it may be retired, and no certificate on it ended.
//   - A tainted authority on the path refuses nobody: honest holders have to renew away from it. The inventory tells
//     them from a thief, who has no record there.
//   - An authority whose id is unknown here (of an upstream CA, or made by a thief) refuses nobody either, for the same
//     reason.
//   - The inventory may lack the certificate only if UnrecordedGrace lists the authority that signed it, and no
//     authority on the path is tainted.
// Thread-safe; never blocks.
class AuthorityStanding final : public PathStanding {
 public:
  // `authorities` outlives this object.
  explicit AuthorityStanding(const AuthoritySnapshots& authorities) : authorities_(authorities) {}

  absl::StatusOr<Verdict> JudgePath(const VerifiedPeer& peer, absl::Time now) const override;

  // The same for one given snapshot; pure.
  static absl::StatusOr<Verdict> JudgePath(const AuthoritySnapshot& snapshot, const VerifiedPeer& peer, absl::Time now);

 private:
  const AuthoritySnapshots& authorities_;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_AUTHORITY_STANDING_H_
