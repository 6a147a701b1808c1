// Carries out an operator's commands about a root rotation.
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

// The commands are those of RotationControl, whose comments say what each does and when it is refused. After a command
// that was carried out, the report shows the new state. One thread at a time; calls block on the database.
class RotationCommands {
 public:
  // All references outlive this object. `sleep` blocks for a duration; it is called when the evidence for a command is
  // complete but has not been so for EvidencePolicy::settle yet.
  RotationCommands(AuthorityManager& authorities, AuthorityStore& store, RotationWatch& watch,
                   RotationReporter& reporter, std::function<void(absl::Duration)> sleep);

  absl::Status Begin(const RotationOptions& options, const std::string& actor);
  absl::Status Activate(bool force, const std::string& actor);
  absl::Status Retire(bool force, bool external_confirmed, const std::string& actor);
  absl::Status Abort(const std::string& actor);
  absl::Status RollBack(const std::string& actor);
  absl::Status Taint(absl::string_view id_prefix, const std::string& actor);

 private:
  // The two cases of Begin: the running rotation goes on with the wanted options, or a new root is made.
  absl::Status TakeOver(const RotationOptions& options, const std::string& actor, absl::Time now);
  absl::Status PrepareNewRoot(const RotationOptions& options, const std::string& actor, absl::Time now);
  // Takes a step at once. Without complete evidence it is refused, unless `force`.
  absl::Status TakeStepNow(RotationDecision::Act act, bool force, const std::string& actor);
  // Gathers the evidence of the step; if it is complete, waits until it has settled. If it is not complete:
  // FailedPrecondition, unless `force`.
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
