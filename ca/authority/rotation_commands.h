// What an operator orders of a rotation, carried out.
#ifndef MESHCA_CA_AUTHORITY_ROTATION_COMMANDS_H_
#define MESHCA_CA_AUTHORITY_ROTATION_COMMANDS_H_

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/authority/authority_manager.h"
#include "ca/authority/authority_store.h"
#include "ca/authority/rotation_control.h"
#include "ca/authority/rotation_evidence.h"
#include "ca/authority/rotation_reporter.h"
#include "ca/authority/rotation_watch.h"

namespace meshca {

// Each command is RotationControl's of the same name, whose comments say what it does and when it is refused. After one
// that was carried out, the report shows the step as it stands then. One thread at a time.
class RotationCommands {
 public:
  // All outlive it. `sleep` waits that long while a command has evidence that only has to settle.
  RotationCommands(AuthorityManager& authorities, AuthorityStore& store, RotationWatch& watch,
                   RotationReporter& reporter, std::function<void(absl::Duration)> sleep);

  absl::Status Begin(const RotationOptions& options, const std::string& actor);
  absl::Status Activate(bool force, const std::string& actor);
  absl::Status Retire(bool force, bool external_confirmed, const std::string& actor);
  absl::Status Abort(const std::string& actor);
  absl::Status RollBack(const std::string& actor);
  absl::Status Taint(absl::string_view id_prefix, const std::string& actor);

 private:
  // Begin's two ways: the rotation that runs goes on as the one that is asked for, or a new root is made.
  absl::Status TakeOver(const RotationOptions& options, const std::string& actor, absl::Time now);
  absl::Status PrepareNewRoot(const RotationOptions& options, const std::string& actor, absl::Time now);
  // Takes a step now or not at all: refused without its evidence unless `force`.
  absl::Status TakeStepNow(RotationDecision::Act act, bool force, const std::string& actor);
  // The evidence of the step, settled where it is whole; refused where it is not, unless `force`.
  absl::StatusOr<RotationView> JudgeStepNow(RotationDecision::Act act, bool force, const RootRotation& rotation,
                                            absl::Time now);
  void RefreshReport();
  const TrustDomain& trust_domain() const { return authorities_.options().trust_domain; }

  AuthorityManager& authorities_;
  AuthorityStore& store_;
  RotationWatch& watch_;
  RotationReporter& reporter_;
  const std::function<void(absl::Duration)> sleep_;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_ROTATION_COMMANDS_H_
