// Takes one step of the running rotation: commits it and, if it was forced, records who was behind.
#ifndef MESHCA_CA_AUTHORITY_ROTATION_STEPS_H_
#define MESHCA_CA_AUTHORITY_ROTATION_STEPS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "ca/authority/authority_manager.h"
#include "ca/authority/rotation_evidence.h"
#include "ca/authority/rotation_watch.h"

namespace meshca {

// Commits the step that `act` names; it is durable and published when this returns Ok. `view` is what was known when it
// was decided. `forced_by`: on whose account it is taken without complete evidence, which is recorded with the names of
// the first who were behind; "" if the evidence is complete. `actor`: who takes it, for the audit log. Blocks on the
// database. FailedPrecondition: the rotation is at another step by now.
absl::Status TakeRotationStep(AuthorityManager& authorities, RotationDecision::Act act, absl::string_view forced_by,
                              const RotationView& view, const std::string& actor);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_ROTATION_STEPS_H_
