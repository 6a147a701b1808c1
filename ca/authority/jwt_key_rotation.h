// Decides what the keys of JWT-SVIDs need next: pure functions of what is known.
#ifndef MESHCA_CA_AUTHORITY_JWT_KEY_ROTATION_H_
#define MESHCA_CA_AUTHORITY_JWT_KEY_ROTATION_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "ca/authority/jwt_authority.h"
#include "ca/authority/rotation_evidence.h"
#include "ca/jwt/jwt_svid.h"
#include "ca/subscribers/laggard.h"
#include "ca/subscribers/subscriber_record.h"

namespace meshca {

struct JwtKeyPolicy {
  // How long a key signs before the next one is made.
  absl::Duration rotate_every = absl::Hours(24 * 30);
  // The longest life of a token.
  absl::Duration token_lifetime_max = kJwtSvidLifetimeMax;
  // Whom a rotation waits for and how long; `skew` is also how long a token may still be shown after its end.
  EvidencePolicy evidence;
};

// What is known at one moment.
struct JwtKeyFacts {
  absl::Time now;
  std::vector<JwtAuthority> keys;
  std::vector<SubscriberRecord> subscribers;
};

// Finds out which subscribers do not hold the prepared key of `facts` yet. An instance counts only if it takes JWT
// keys, for as long as it counts in a rotation of the root (EvidenceJudge). Nobody is behind where no key is prepared.
// There are no leaves in it: tokens are not recorded, and none is signed by the prepared key.
RotationEvidence JudgeJwtKey(const JwtKeyFacts& facts, const EvidencePolicy& policy);

// What is to be done next.
struct JwtKeyDecision {
  enum class Act {
    kWait,
    kPublish,   // make the next key and publish it: the active one has signed for long enough
    kActivate,  // the prepared key `key_id` signs from now on: everybody holds it
    kRetire,    // the old key `key_id` leaves the bundle: no token that it signed is alive
  };
  Act act = Act::kWait;
  std::string key_id;
  std::string waiting_for;  // for kWait while a key is prepared: what for, one sentence; else ""
  // When an act may be due if nobody acknowledges anything until then. InfiniteFuture: never by itself.
  absl::Time due = absl::InfiniteFuture();
};

// `evidence` is JudgeJwtKey's; `satisfied_since` is since when it has been complete without a gap (InfiniteFuture: it
// is not). A key that nothing signs in place of is not in it: JwtKeysFault finds that. Pure.
JwtKeyDecision DecideNextJwtAct(const JwtKeyFacts& facts, const RotationEvidence& evidence, absl::Time satisfied_since,
                                const JwtKeyPolicy& policy);

// When an old key of `keys` that was replaced at `replaced_at` may be retired: its last token has ended, and any clock
// that is behind has seen its end.
absl::Time RetiresAt(absl::Time replaced_at, const JwtKeyPolicy& policy);

// When the next key is made by itself; InfiniteFuture: one is prepared already, or none is active.
absl::Time NextJwtRotation(const std::vector<JwtAuthority>& keys, const JwtKeyPolicy& policy);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_JWT_KEY_ROTATION_H_
