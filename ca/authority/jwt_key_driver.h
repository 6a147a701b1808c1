// Rotates the keys of JWT-SVIDs on evidence, and carries out the operator's orders about them.
#ifndef MESHCA_CA_AUTHORITY_JWT_KEY_DRIVER_H_
#define MESHCA_CA_AUTHORITY_JWT_KEY_DRIVER_H_

#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/authority/authority_manager.h"
#include "ca/authority/jwt_key_control.h"
#include "ca/authority/jwt_key_rotation.h"
#include "ca/base/mutex.h"
#include "ca/subscribers/evidence_source.h"

namespace meshca {

// Takes the steps that are due, one transaction each. The keys and their states alone are stored; since when the
// evidence is complete is lost with the process, so a server that was just started waits for a whole settling time
// before a new key signs. The first key of a trust domain, and one in place of a key that is gone, are
// AuthorityManager's to make. Thread-safe.
class JwtKeyDriver final : public JwtKeyControl {
 public:
  struct Parts {
    AuthorityManager* authorities = nullptr;
    const EvidenceSource* evidence = nullptr;
    JwtKeyPolicy policy;
  };
  // Everything in `parts` outlives the driver.
  explicit JwtKeyDriver(Parts parts);

  // Takes the steps that are due; reads the clock itself. Returns the latest time for the next call, counted from
  // `now`, the caller's own reading. To be called also after each change of authorities. Blocks on the database.
  absl::Time Tick(absl::Time now);

  JwtKeysReport Report() const override;
  absl::Status Rotate(const std::string& actor) override;
  absl::Status Taint(absl::string_view key_id_prefix, const std::string& actor) override;

 private:
  // What was found out at one moment.
  struct View {
    JwtKeyFacts facts;
    RotationEvidence evidence;
    JwtKeyDecision decision;
  };
  View Look(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  absl::Status TakeStep(const View& view) ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  absl::Status Publish(absl::Time now, const std::string& actor, absl::string_view why)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  void Keep(const View& view);
  void KeepError(const absl::Status& status);

  AuthorityManager& authorities_;
  const EvidenceSource& evidence_;
  const JwtKeyPolicy policy_;

  Mutex turn_;  // held through a whole Tick or order, the database's time included
  // About the key that is prepared: since when everybody holds it, since boot. InfiniteDuration: somebody is behind.
  std::string judged_key_id_ ABSL_GUARDED_BY(turn_);
  absl::Duration whole_since_ ABSL_GUARDED_BY(turn_) = absl::InfiniteDuration();
  absl::Duration next_look_ ABSL_GUARDED_BY(turn_) = -absl::InfiniteDuration();

  mutable Mutex mutex_;  // held only for a copy, so that Report never waits for turn_
  JwtKeysReport last_ ABSL_GUARDED_BY(mutex_);
  std::string last_key_id_ ABSL_GUARDED_BY(mutex_);  // of the prepared key that last_ was found out about
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_JWT_KEY_DRIVER_H_
