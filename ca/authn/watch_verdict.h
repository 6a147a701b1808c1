// What the watch of a cluster says about the token of a service account.
#ifndef MESHCA_CA_AUTHN_WATCH_VERDICT_H_
#define MESHCA_CA_AUTHN_WATCH_VERDICT_H_

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ca/authn/known_pods.h"
#include "ca/authn/service_account_claims.h"

namespace meshca {

struct WatchVerdict {
  enum class Kind {
    kLives,        // the pod that the token is bound to is there, with that account: nobody else need be asked
    kNotKnownYet,  // the watch may tell in a moment
    kInDoubt,      // the watch will not tell: the API server has to be asked
    kRefused,      // whatever anybody else says: `refusal`
  };
  Kind kind = Kind::kInDoubt;
  std::string doubt;     // kNotKnownYet, kInDoubt: why, for people
  absl::Status refusal;  // kRefused
  std::string node;      // kLives: that the pod is on; "": not placed on one yet
};

// How old the watch may be for its word alone to count.
inline constexpr absl::Duration kWatchAgeMax = absl::Minutes(5);

// Judges the holder of a token whose signature is good. Computes only.
//
// The refusals are Unauthenticated: SERVICE_ACCOUNT_GONE, POD_GONE (it was deleted, or has ended), POD_MISMATCH (the
// pod of that uid has another name, account or node than the token says).
WatchVerdict JudgeByWatch(const ServiceAccountClaims& claims, const KnownPods& pods, absl::Time now);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHN_WATCH_VERDICT_H_
