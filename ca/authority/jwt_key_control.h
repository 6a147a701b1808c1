// The interface of an operator to the keys of JWT-SVIDs. JwtKeyDriver implements it.
#ifndef MESHCA_CA_AUTHORITY_JWT_KEY_CONTROL_H_
#define MESHCA_CA_AUTHORITY_JWT_KEY_CONTROL_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/authority/jwt_authority.h"
#include "ca/subscribers/laggard.h"

namespace meshca {

struct JwtKeysReport {
  std::vector<JwtAuthority> keys;  // retired ones too, the oldest first
  std::string signing_key_id;      // "": no token can be minted now
  std::string why_not_signing;     // for people; "" where one signs
  // Who does not hold the prepared key yet; of nobody where none is prepared.
  RotationEvidence evidence;
  std::string waiting_for;  // what the prepared key waits for, one sentence; "": none is prepared
  std::string error;        // why the last attempt at a step failed; "": it did not
  std::string frozen;       // not "": the clock cannot be believed, and nothing moves until it can
  absl::Time next_rotation = absl::InfiniteFuture();  // when the next key is made by itself; InfiniteFuture: not known
};

// Thread-safe. Rotate and Taint block on the database and are done, durably, when they return Ok. `actor` is who gives
// the order, for the audit log. Errors of both: Unavailable.
class JwtKeyControl {
 public:
  virtual ~JwtKeyControl() = default;

  virtual JwtKeysReport Report() const = 0;

  // Makes the next key and publishes it; it signs when every live consumer of JWT keys holds it. FailedPrecondition:
  // a next key is published already (JWT_ROTATION_RUNS), or the clock cannot be believed (JWT_ROTATION_FROZEN).
  virtual absl::Status Rotate(const std::string& actor) = 0;
  // Takes a key out of trust at once, because it is considered stolen; another signs in its place. `key_id_prefix`: at
  // least the first 8 characters of its kid. NotFound: no key begins so. InvalidArgument: several do, or it is too
  // short. FailedPrecondition: it is retired already (JWT_KEY_STATE).
  virtual absl::Status Taint(absl::string_view key_id_prefix, const std::string& actor) = 0;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_JWT_KEY_CONTROL_H_
